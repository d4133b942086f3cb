"""The pages, command by command: each block is run in the order of its page, or `pages.toml` says why it is not."""
import re
from collections.abc import Callable

import pytest

from tests.functional.pages.blocks import BLOCK, OWN_TEST, ROOT, pages, run_with, without_comment


@pytest.mark.parametrize('page', run_with())
def test_page_runs(page: str, follow: Callable[[str], None]) -> None:
    follow(page)


def test_what_is_left_out_is_on_its_page_and_has_a_reason() -> None:
    for page in pages().values():
        lines = {without_comment(line) for line in page.lines()}
        for command, reason in page.left_out.items():
            assert command in lines, f'{page.name} has no command {command} any more'
            assert len(reason) > 10
            for path in re.findall(r'(?:tests|\.ci)/[\w./-]*\w', reason):
                assert (ROOT / path).exists(), path
    assert all((ROOT / path).exists() for path in OWN_TEST.values())


def test_every_fence_is_that_of_a_known_block() -> None:
    for name in pages():
        rest = BLOCK.sub('', (ROOT / name).read_text())
        assert not re.findall(r'^\s*(?:```|~~~).*|^\t.*', rest, re.MULTILINE), name
