from collections.abc import Iterator

import pytest

from tests.unit.lock_order import LockOrder


@pytest.fixture(autouse=True)
def locks_are_taken_in_one_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[LockOrder]:
    """No two locks are taken in both orders, by whatever threads: two that wait for each other never end."""
    order = LockOrder()
    order.record(monkeypatch)
    yield order
    assert not order.circle()
