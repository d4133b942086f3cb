"""Locks between processes (and between threads that each open their own), by flock(2)."""
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_dir.workspace.beneath import Beneath


def take(place: Beneath, name: str, operation: int) -> int:
    """Return the open descriptor of the lock file `name` in a place, made if need be, locked; closing it unlocks.

    `operation` is fcntl.LOCK_SH or LOCK_EX, with LOCK_NB to raise BlockingIOError instead of waiting. Whoever holds
    a lock file exclusively may remove it: those who waited for the removed one take the new one. Raises OSError.
    """
    while True:
        descriptor = place.lock_file(name)
        try:
            fcntl.flock(descriptor, operation)
            if is_still(place, name, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def held(place: Beneath, name: str) -> Iterator[None]:
    """Hold the lock file `name` in a place exclusively, waiting for it; raises OSError."""
    descriptor = take(place, name, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared_if_there(root: str, name: str) -> Iterator[None]:
    """Keep others from holding the lock file `name` meanwhile, if there is one; it is not changed. Raises OSError.

    For readers, who cannot make one where they may not write: where nobody ever held it, nobody is at work.
    """
    place = Beneath(root)
    while True:
        try:
            descriptor = place.open(name)
        except FileNotFoundError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if is_still(place, name, descriptor):  # else its holder removed it, and the next one has made another
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


def is_still(place: Beneath, name: str, descriptor: int) -> bool:
    """Tell whether the open lock file, or locked directory, is the one of this name, not one that was removed."""
    found = place.status(name)
    return found is not None and os.path.samestat(os.fstat(descriptor), found)
