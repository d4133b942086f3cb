"""Sources within destinations that are replaced as a whole, in a run of any length: both are kept as hashes."""
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase

from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.tasks.image_task import ImageTask, places_of


class LaterSources:
    """Refuses, of two images, the later one if the source of one is within the destination of the other."""

    def __init__(self, plugins: Plugins) -> None:
        self._names = {each.name: (*each.keeps, ) for _, each in plugins.declared(WriterScheme) if each.keeps}
        """By scheme, patterns of the names in a destination that it may replace."""
        self._taken, self._sources = set[int](), set[int]()
        """Destinations, and those that would take a source with them; each is hashes of a directory and its names."""
        self._last: tuple[str, set[int]] = '', set()

    def require_apart(self, task: ImageTask) -> None:
        """Raise UsageError as `refuse_sources_within` does, also for this image and one that was kept."""
        (_, source), (scheme, path) = places_of(task)
        around, goes = self._around(source), self._destination(scheme, path)
        end = 'a destination of the same run, which may replace it: choose a place beside it'
        if not around.isdisjoint(goes):
            raise UsageError(f'{task.source} lies within {task.destination}, {end}')
        if not around.isdisjoint(self._taken):
            raise UsageError(f'{task.source} lies within {end}')
        if not goes.isdisjoint(self._sources):
            raise UsageError(f'another source lies within {task.destination}, {end}')

    def keep(self, task: ImageTask) -> None:
        """Keep the source and the destination of an image that is copied."""
        (_, source), (scheme, path) = places_of(task)
        self._sources |= self._around(source)
        self._taken |= self._destination(scheme, path)

    def _destination(self, scheme: str, path: str) -> set[int]:
        names = self._names.get(scheme)
        return {hash((each, names)) for each in identities(path)} if names and path else set()

    def _around(self, source: str) -> set[int]:
        """Return what `_destination` returns for all destinations that would take a source with them."""
        if source != self._last[0]:  # many images may be in one archive
            self._last = source, {
                hash((each, names)) for directory, name in _above(os.path.realpath(source))
                for names in {*self._names.values()} if any(fnmatchcase(name, pattern) for pattern in names)
                for each in identities(directory)}
        return self._last[1]


def identities(path: str) -> set[int]:
    """Return hashes of two identities of a path; what is there changes when something is written."""
    return {hash(path), hash(Place(path).root)}


def _above(path: str) -> Iterator[tuple[str, str]]:
    """Yield each directory above a path, with the name in it that leads to the path."""
    above, name = os.path.split(path)
    while name:
        yield above, name
        above, name = os.path.split(above)
