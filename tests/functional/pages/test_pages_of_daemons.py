"""The pages whose commands want daemons, in the process that has them."""
from collections.abc import Callable

import pytest

from tests.functional.pages.blocks import run_with


@pytest.mark.parametrize('page', run_with('daemons'))
def test_page_runs(page: str, follow: Callable[[str], None]) -> None:
    follow(page)
