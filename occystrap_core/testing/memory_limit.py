"""The memory that work on one large layer may take."""
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

BIG = 64 << 20
"""The bytes of the layer."""

T = TypeVar('T')


def within_memory(work: Callable[[], T], most: int, what: str) -> T:
    """Return what `work` returns; fails if more than `most` bytes of Python's memory are in use at once.

    `what` names the work in the failure.
    """
    tracemalloc.start()
    try:
        result = work()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most, f'{what} a layer of {BIG >> 20} MiB takes {peak >> 20} MiB of memory'
    return result
