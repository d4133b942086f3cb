"""Locks between processes by flock(2): work in progress is locked, so anything unlocked was abandoned.

A lock belongs to an open file or directory and ends when that is closed, at the latest with the process. It also works
between threads if each opens the file itself.
"""
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from zlib import crc32

_PATIENCE = 30.0
"""Seconds to wait for another run that replaces the same file or directory."""
_LOOK = 0.01


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
def replacement_lock(path: str) -> Iterator[None]:
    """Lock a name in a directory while what it names is checked and then replaced.

    The lock is an empty file beside it, which is removed at the end; one that a killed run left is used again. Where
    that file cannot be made, or the file system has no locks, there is no lock. Raises TimeoutError if another process
    holds it for half a minute.
    """
    lock = _lock_of(path)
    descriptor = _lock_beside(lock, path)
    try:
        yield
    finally:
        if descriptor is not None:
            _remove(lock)
            os.close(descriptor)


def remove_abandoned_lock(path: str) -> None:
    """Remove the lock that a killed run left beside what it replaced."""
    lock = _lock_of(path)
    with suppress(OSError):
        opened = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        if _is_empty_file(opened):
            remove_if_abandoned(opened, partial(_status, lock), partial(os.unlink, lock))
        else:
            os.close(opened)


def _lock_of(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f'.occystrap-{crc32(os.fsencode(name)):08x}.lock')


def _lock_beside(lock: str, path: str) -> int | None:
    """Lock the empty file `lock`, made if need be, and return its descriptor; None if that is not possible."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            opened = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError:
            return None
        if not _is_empty_file(opened):
            os.close(opened)
            return None
        with suppress(BlockingIOError):
            taken = lock_if_current(opened, fcntl.LOCK_EX | fcntl.LOCK_NB, partial(_status, lock), optional=True)
            if taken is not None:
                return taken
        time.sleep(_LOOK)
    raise TimeoutError(errno.ETIMEDOUT, 'another process is about to replace it: wait for it or end it', path)


def _remove(lock: str) -> None:
    """Remove a lock file, if need be at the second attempt; after that, the next run that replaces the file does."""
    for _ in range(2):
        with suppress(OSError):
            os.unlink(lock)
            return


def _is_empty_file(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and not found.st_size


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


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
