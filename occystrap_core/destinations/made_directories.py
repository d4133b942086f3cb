"""Directories that a run makes: those that fields in a destination name, and all of them removed if nothing comes."""
import os
import threading
from contextlib import suppress

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations.destination_fields import has_fields
from occystrap_core.errors import OutputError
from occystrap_core.files.durability import output_errors


class MadeDirectories:
    """The directories of a run above its images: for `tar://out/{repository}.tar` out/team, and out itself, but nothing
    above that: where a medium is not mounted, nothing must be written to the disk below it.

    An image's own directory is made by its writer. Of several writers at one, the last to leave need not be the one
    that made it, and leaves it: so it is removed here.
    """

    def __init__(self) -> None:
        self._made: dict[str, None] = {}
        self._lock = threading.Lock()

    def make(self, written: Location, place: Place) -> None:
        """Make what is missing above the place of an image; raises OutputError."""
        with self._lock, output_errors(place.path):
            for path in directories_to_make(written, place):
                with suppress(FileExistsError):  # made by another process of a bulk run, and left to it
                    os.mkdir(path)
                    self._made[path] = None
            if place.path and not os.path.lexists(place.path):
                self._made[place.path] = None

    def close(self) -> None:
        """Remove those into which nothing was written."""
        for path in reversed(self._made):
            with suppress(OSError):
                os.rmdir(path)


def directories_to_make(written: Location, place: Place) -> list[str]:
    """Return the directories that are missing above the place of an image, the upper ones first.

    They are those that fields name, and the one that these are in. Raises OutputError if what is above them is missing.
    """
    if not place.path or not has_fields(written):
        return []
    fixed = os.path.dirname(os.path.realpath(os.path.dirname(written.path.partition('{')[0]) or '.'))
    if not os.path.isdir(fixed):
        raise OutputError(f'{written}: there is no directory {fixed}; create it first: only directories named by '
                          'fields, and their parent, are created')
    above, found = os.path.dirname(os.path.realpath(place.path)), list[str]()
    while above.startswith(f'{fixed.rstrip("/")}/') and not os.path.lexists(above):
        found.insert(0, above)
        above = os.path.dirname(above)
    return found
