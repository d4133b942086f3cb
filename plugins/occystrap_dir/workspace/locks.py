"""Lock files below a destination, for processes and for threads that each open their own."""
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_core.files import lock_if_current
from occystrap_dir.workspace.beneath import Beneath


def take(place: Beneath, name: str, operation: int) -> int:
    """Lock the lock file `name`, made if it does not exist, and return its descriptor; closing that unlocks.

    `operation` is fcntl.LOCK_SH or LOCK_EX, with LOCK_NB to raise BlockingIOError instead of waiting. Whoever holds
    a lock file exclusively may remove it: those who waited for the removed one lock a new one. Raises OSError.
    """
    while (locked := lock_if_current(place.lock_file(name), operation, lambda: place.status(name))) is None:
        pass
    return locked


@contextmanager
def held(place: Beneath, name: str) -> Iterator[None]:
    """Hold the lock file `name` exclusively during the with block, waiting for it; raises OSError."""
    descriptor = take(place, name, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared_if_exists(root: str, name: str) -> Iterator[None]:
    """Hold a shared lock on the lock file `name` during the with block, if the file exists; raises OSError.

    For readers, who may not be allowed to make one: where there is no lock file, no writer is at work.
    """
    place, locked = Beneath(root), None
    while locked is None:
        try:
            opened = place.open(name)
        except FileNotFoundError:
            break
        locked = lock_if_current(opened, fcntl.LOCK_SH, lambda: place.status(name))
    try:
        yield
    finally:
        if locked is not None:
            os.close(locked)


def try_exclusive(descriptor: int) -> bool:
    """Turn a shared lock into an exclusive one and return True; if others share it, release it and return False."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
