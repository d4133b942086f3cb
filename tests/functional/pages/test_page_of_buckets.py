"""The page whose commands want a bucket, in the process that has one."""
from collections.abc import Callable

import pytest

from tests.functional.pages.blocks import run_with


@pytest.mark.parametrize('page', run_with('bucket'))
def test_page_runs(page: str, follow: Callable[[str], None]) -> None:
    follow(page)
