"""Locks between processes by flock(2): work in progress is locked, so anything unlocked was abandoned.

A lock belongs to an open file or directory and ends when that is closed, at the latest with the process. It also works
between threads if each opens the file itself.
"""
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_PATIENCE = 5.0
"""Seconds to wait for the lock of a directory."""


def is_current(descriptor: int, status: Callable[[], os.stat_result | None]) -> bool:
    """Return whether an open file or directory is still the one with its name; raises OSError.

    `status` returns the os.lstat result of what has the name now, None if nothing has it.
    """
    found = status()
    return found is not None and os.path.samestat(os.fstat(descriptor), found)


def lock_if_current(descriptor: int, operation: int, status: Callable[[], os.stat_result | None], *,
                    optional: bool = False) -> int | None:
    """Lock an open file or directory and return its descriptor; close it and return None if it no longer has its name.

    That happens when the previous holder of the lock removed it: the caller opens or creates it again. `operation` is
    fcntl.LOCK_SH or LOCK_EX; with LOCK_NB, BlockingIOError is raised instead of waiting. `status` is as for
    `is_current`. With `optional`, a file system without locks is not an error. Raises OSError, with `descriptor`
    closed.
    """
    current = False
    try:
        try:
            fcntl.flock(descriptor, operation)
        except OSError as error:
            if not optional or isinstance(error, BlockingIOError):
                raise
        current = is_current(descriptor, status)
    finally:
        if not current:
            os.close(descriptor)
    return descriptor if current else None


@contextmanager
def locked_directory(path: str) -> Iterator[None]:
    """Lock a directory while something in it is checked and then replaced.

    Whoever can read the directory can lock it, so that after a few seconds this goes on without the lock, as where
    there are no locks.
    """
    descriptor = -1
    try:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            _try_to_lock(descriptor)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _try_to_lock(descriptor: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PATIENCE / 500)


def remove_if_abandoned(descriptor: int, status: Callable[[], os.stat_result | None], remove: Callable[[], object], *,
                        wait: bool = False) -> bool:
    """Call `remove` for an open file or directory unless it is locked; return whether it was called.

    With `wait`, wait for the lock. `status` is as for `is_current`; what no longer has its name is not removed. Closes
    `descriptor`. Raises OSError, and what `remove` raises.
    """
    try:
        locked = lock_if_current(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), status)
    except BlockingIOError:
        return False
    if locked is None:
        return False
    try:
        remove()
    finally:
        os.close(locked)
    return True
