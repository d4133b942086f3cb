"""Directories that a run makes: those that fields in a destination name, and all of them removed if nothing comes."""
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
    """The directories of a run above its images: for `tar://out/{repository}.tar` out/team, and out itself, but nothing
    above that: where a medium is not mounted, nothing must be written to the disk below it.

    Other processes may write there too, such as the workers of a bulk run. An image on its way holds a shared lock on
    each directory above it that was made or found, and what is locked is not removed by whoever made it. So if images
    of several processes fail, an empty directory may be left; none is missing for the others.

    An image's own directory is made by its writer. Of several writers at one, the last to leave need not be the one
    that made it, and leaves it: so it is removed here.
    """

    def __init__(self) -> None:
        self._made: dict[str, None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def above(self, written: Location, place: Place) -> Iterator[None]:
        """Make what is missing above the place of an image, and have it stay during the with block; raises OutputError.
        """
        with ExitStack() as held:
            with output_errors(place.path):
                for path in field_directories(written, place):
                    self._hold(path, held)
                with self._lock:
                    if place.path and not os.path.lexists(place.path):
                        self._made[place.path] = None
            yield

    def _hold(self, path: str, held: ExitStack) -> None:
        """Make a directory unless it is there, and lock it; once more if another process has just removed it."""
        for _ in range(_ATTEMPTS):
            with self._lock, suppress(FileExistsError):  # made by another process, and left to it
                os.mkdir(path)
                self._made[path] = None
            try:
                locked = _locked(path)
            except FileNotFoundError:
                continue
            except OSError:  # unreadable, or no directory: the writer says what that means
                return
            if locked is not None:
                held.callback(os.close, locked)
                return
        raise OutputError(f'{path} is removed by another process again and again: end that')

    def close(self) -> None:
        """Remove those into which nothing was written, and in which no other process is at work."""
        for path in reversed(self._made):
            with suppress(OSError):
                remove_if_abandoned(_opened(path), partial(os.lstat, path), partial(os.rmdir, path))


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _locked(path: str) -> int | None:
    """Lock a directory, and return its descriptor; None if another one has its name now. Raises OSError."""
    return lock_if_current(_opened(path), fcntl.LOCK_SH, partial(os.lstat, path), optional=True)


def directories_to_make(written: Location, place: Place) -> list[str]:
    """Return the directories that are missing above the place of an image, the upper ones first.

    Raises OutputError if what is above them is missing.
    """
    return [path for path in field_directories(written, place) if not os.path.lexists(path)]


def field_directories(written: Location, place: Place) -> list[str]:
    """Return the directories above the place of an image that fields name, and the one that these are in; upper first.

    Raises OutputError if what is above them is missing.
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
