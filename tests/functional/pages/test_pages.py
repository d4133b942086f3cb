"""The pages, command by command: each block is run in the order of its page, or `pages.toml` says why it is not."""
import re
from collections.abc import Callable

import pytest

from tests.functional.pages.blocks import OWN_TEST, ROOT, pages, run_with


@pytest.mark.parametrize('page', run_with())
def test_page_runs(page: str, follow: Callable[[str], None]) -> None:
    follow(page)


def test_what_is_left_out_is_on_its_page_and_has_a_reason() -> None:
    for page in pages().values():
        lines = [line for block in page.commands() for line in block.splitlines()]
        for beginning, reason in page.left_out.items():
            assert any(line.startswith(beginning) for line in lines), f'{page.name} has no command {beginning} any more'
            assert len(reason) > 10
            for path in re.findall(r'(?:tests|\.ci)/[\w./-]*\w', reason):
                assert (ROOT / path).exists(), path
    assert all((ROOT / path).exists() for path in OWN_TEST.values())
