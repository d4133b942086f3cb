"""Directories that a run creates: for fields in its destinations, and removed again if nothing was written to them."""
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations.destination_fields import has_fields
from occystrap_core.errors import OutputError
from occystrap_core.files.durability import output_errors
from occystrap_core.files.locks import lock_if_current, remove_if_abandoned

_ATTEMPTS = 100


class MadeDirectories:
    """Creates directories above images: for `tar://out/{repository}.tar` out/team and out, but nothing above out.

    If the directory above does not exist, perhaps because a medium is not mounted, it must not be created on the disk
    below.

    Other processes, such as workers of a bulk run, may write to the same directories. While an image is being written,
    a shared lock is held on each directory above it, and no process removes a locked directory. If images of several
    processes fail, an empty directory may be left over, but none that another process needs is missing.

    A writer creates an image's own directory. If several writers share one, the last to finish may not be the one that
    created it, and leaves it in place: such directories are removed here.
    """

    def __init__(self) -> None:
        self._made: dict[str, None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def above(self, written: Location, place: Place) -> Iterator[None]:
        """Create the missing directories above an image, and keep them during the with block; raises OutputError."""
        with ExitStack() as held:
            with output_errors(place.path):
                for path in field_directories(written, place):
                    self._hold(path, held)
                with self._lock:
                    if place.path and not os.path.lexists(place.path):
                        self._made[place.path] = None
            yield

    def _hold(self, path: str, held: ExitStack) -> None:
        """Create a directory unless it exists, and lock it; try again if another process has just removed it."""
        for _ in range(_ATTEMPTS):
            with self._lock, suppress(FileExistsError):  # created, and later removed, by another process
                os.mkdir(path)
                self._made[path] = None
            try:
                locked = _locked(path)
            except FileNotFoundError:
                continue
            except OSError:  # unreadable, or not a directory: the writer's error is clearer
                return
            if locked is not None:
                held.callback(os.close, locked)
                return
        raise OutputError(f'another process keeps removing {path}: stop it, then run again')

    def close(self) -> None:
        """Remove the created directories that are empty and not locked by another process."""
        for path in reversed(self._made):
            with suppress(OSError):
                remove_if_abandoned(_opened(path), partial(os.lstat, path), partial(os.rmdir, path))


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _locked(path: str) -> int | None:
    """Lock a directory, and return its descriptor; None if its path now leads to another one. Raises OSError."""
    return lock_if_current(_opened(path), fcntl.LOCK_SH, partial(os.lstat, path), optional=True)


def directories_to_make(written: Location, place: Place) -> list[str]:
    """Return the directories that are missing above the place of an image, the upper ones first.

    Raises OutputError if what is above them is missing.
    """
    return [path for path in field_directories(written, place) if not os.path.lexists(path)]


def field_directories(written: Location, place: Place) -> list[str]:
    """Return the directories above an image that fields name, and the directory that contains these; the upper first.

    Raises OutputError if a directory above them is missing.
    """
    if not place.path or not has_fields(written):
        return []
    fixed = os.path.dirname(os.path.realpath(os.path.dirname(written.path.partition('{')[0]) or '.'))
    if not os.path.isdir(fixed):
        raise OutputError(f'{written}: there is no directory {fixed}; create it first: only directories named by '
                          'fields, and their parent, are created')
    above, found = os.path.dirname(os.path.realpath(place.path)), list[str]()
    while above.startswith(f'{fixed.rstrip("/")}/'):
        found.insert(0, above)
        above = os.path.dirname(above)
    return found
