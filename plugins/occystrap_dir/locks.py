"""Locks between processes (and between threads that each open their own), by flock(2)."""
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


def take(path: str, operation: int) -> int:
    """Return the open descriptor of the lock file at `path`, made if need be, locked; closing it unlocks.

    `operation` is fcntl.LOCK_SH or LOCK_EX, with LOCK_NB to raise BlockingIOError instead of waiting. Whoever holds
    a lock file exclusively may remove it: those who waited for the removed one take the new one. Raises OSError.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, operation)
            if is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def held(path: str) -> Iterator[None]:
    """Hold the lock file at `path` exclusively, waiting for it; raises OSError."""
    descriptor = take(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared_if_there(path: str) -> Iterator[None]:
    """Keep others from holding the lock file at `path` meanwhile, if there is one; it is not changed. Raises OSError.

    For readers, who cannot make one where they may not write: where nobody ever held it, nobody is at work.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if is_still(path, descriptor):  # else its holder removed it, and the next one has made another
                yield
                return
        finally:
            os.close(descriptor)


def try_exclusive(descriptor: int) -> bool:
    """Turn a shared lock into an exclusive one if nobody else has it, else give it up; return which."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def is_still(path: str, descriptor: int) -> bool:
    """Tell whether the open lock file is the one at `path`, not one that was removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
