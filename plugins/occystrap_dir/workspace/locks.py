"""Lock files below a destination, for processes and for threads that each open their own."""
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_core.files import lock_if_current
from occystrap_dir.workspace.beneath import Beneath


def take(place: Beneath, name: str, operation: int) -> int:
    """Return the open descriptor of the lock file `name` in a place, made if need be, locked; closing it unlocks.

    `operation` is fcntl.LOCK_SH or LOCK_EX, with LOCK_NB to raise BlockingIOError instead of waiting. Whoever holds
    a lock file exclusively may remove it: those who waited for the removed one take the new one. Raises OSError.
    """
    while (locked := lock_if_current(place.lock_file(name), operation, lambda: place.status(name))) is None:
        pass
    return locked


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
    """Turn a shared lock into an exclusive one if nobody else has it, else give it up; return which."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
