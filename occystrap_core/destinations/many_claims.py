"""The claims of a run of very many images, kept as hashes: some hundred bytes for each."""
from collections.abc import Hashable, Iterator

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations.hash_table import HashTable
from occystrap_core.errors import UsageError

_UNKNOWN = -1
"""An unknown image, equal to no other: Python's hashes are never -1."""


class ManyClaims:
    """Like Claims, but its messages cannot name the image that has a place. The caller must serialize access."""

    def __init__(self) -> None:
        self._images = HashTable()
        """Claimed places, each with its image and form."""
        self._schemes = HashTable()
        """Claimed paths, each with the scheme of its images."""
        self._apart = set[int]()
        """Claimed names of places with an `apart`."""
        self._read = HashTable()
        """Places of sources, each with its image."""
        self._read_paths = HashTable()
        """Paths of sources, each with an image."""

    def keep(self, place: Place, source: str, form: Hashable, scheme: str) -> None:
        """Record the claim of a free place."""
        for site in _sites(place):
            if place.path:
                self._schemes[hash(site)] = hash(scheme)
            if place.name != '':
                self._images[hash((site, place.name, place.apart))] = hash((source, form))
                if place.apart:
                    self._apart.add(hash((site, place.name)))

    def keep_read(self, lies: Place, source: str) -> None:
        """Record the place of a source."""
        for site in _sites(lies):
            self._read[hash((site, lies.name))] = hash(source)
            if lies.path:
                self._read_paths[hash(site)] = hash(source)

    def reads(self, lies: Place, source: str) -> None:
        """Record where an image is read; raises UsageError if another image of the run is written there."""
        if lies.name != '' and any(True for site in _sites(lies) for _ in self._others(site, lies)):
            raise UsageError(f'{source} is read where another image of this run is written: copy in two runs')
        self.keep_read(lies, source)

    def claim(self, place: Place, source: str, destination: Location, form: Hashable) -> bool:
        """Claim a place; returns and raises as Claims does."""
        self._refuse_source(place, source, destination)
        sites, image = _sites(place), hash((source, form))
        others = {each for site in sites for each in self._others(site, place)}
        if others - {image}:
            raise UsageError(f'{destination}: {source} would replace another image of this run there')
        schemes = {self._schemes.get(hash(site)) for site in sites} if place.path else set()
        if schemes - {None, hash(destination.scheme)}:
            raise UsageError(f'{destination}: images of another format are written to {place.path} in this run: choose '
                             'another place for one of them')
        if not others:
            self.keep(place, source, form, destination.scheme)
        return not others

    def _others(self, site: Hashable, place: Place) -> Iterator[int]:
        """Yield the images that an image at this place would replace."""
        key = hash((site, place.name, place.apart))
        same = (self._images.get(each) for each in {key, hash((site, place.name, ''))})
        yield from (each for each in same if each is not None)
        if place.path and place.name is None:
            if hash(site) in self._schemes and key not in self._images:
                yield _UNKNOWN
        elif place.path and (whole := self._images.get(hash((site, None, '')))) is not None:
            yield whole
        if place.name and not place.apart and hash((site, place.name)) in self._apart:
            yield _UNKNOWN

    def _refuse_source(self, place: Place, source: str, destination: Location) -> None:
        taken = set[int | None]()
        for site in _sites(place):
            taken.add(self._read.get(hash((site, place.name))))
            if place.path:
                taken.add(self._read_paths.get(hash(site)) if place.name is None else
                          self._read.get(hash((site, None))))
        if taken - {None, hash(source)}:
            raise UsageError(f'{destination}: {source} would replace an image that is a source of the same run: '
                             'choose another destination, or copy in two runs')


def _sites(place: Place) -> tuple[Hashable, ...]:
    """Return two identities of a path: as written, since what is there changes when an image is written, and by what is
    there, since several paths may lead to it."""
    return (place.path, place.root) if place.path else (None,)
