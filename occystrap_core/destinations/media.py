"""The file systems of a run's destinations: all its images belong on the same one, such as one stick."""
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations.destination_fields import has_fields
from occystrap_core.errors import OutputError


class Media:
    """Notices a medium that is unmounted, mounted or exchanged during a run; used by several threads.

    Otherwise later images would go to the disk below the mount point, and be verified there.
    """

    def __init__(self) -> None:
        self._devices: dict[str, int] = {}
        self._held: dict[int, int] = {}
        """A descriptor for each device, so that its number is given to no other one, and no automounter unmounts it."""
        self._lock = threading.Lock()

    @contextmanager
    def kept(self, written: Location, place: Place) -> Iterator[None]:
        """Require that an image's file system stays that of the destination's first image; raises OutputError."""
        self.require(written, place)
        yield
        self.require(written, place)

    def require(self, written: Location, place: Place) -> None:
        """Raise OutputError if the destination's file system is another than the one that its first image went to."""
        if not place.path:
            return
        path = _common_path(written, place)
        with self._lock:
            device = self._devices.get(path)
            if device is None:
                self._devices[path] = self._opened(path)
            else:
                _require_device(path, device)

    def require_again(self, path: str) -> None:
        """Raise OutputError if the file system of a path that was required is another one now; `path` may end with a
        name after a colon."""
        path = os.path.realpath(path)
        for end in (*(each.start() for each in re.finditer('[/:@]', path)), len(path)):
            common = path[:end] or '/'
            device = self._devices.get(common)  # not all are looked at: there may be as many as images
            if device is not None:
                _require_device(common, device)

    def close(self) -> None:
        """Let go of the file systems."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _opened(self, path: str) -> int:
        found, device = _found(path)
        if device not in self._held:
            with suppress(OSError):  # without it the number of the device is compared all the same
                self._held[device] = os.open(found, os.O_PATH | os.O_DIRECTORY)
        return device


def _require_device(path: str, device: int) -> None:
    if _found(path)[1] != device:
        raise OutputError(f'{path} is on another file system than at the beginning of this run, so images that were '
                          'copied before are not there: mount the same medium again, and run the same command')


def _common_path(written: Location, place: Place) -> str:
    """Return the path that all images of a destination have in common."""
    if not has_fields(written):
        return place.path
    return os.path.realpath(os.path.dirname(written.path.partition('{')[0]) or '.')


def _found(path: str) -> tuple[str, int]:
    """Return the nearest directory that exists, and its device."""
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path, os.stat(path).st_dev
