"""What entries of an index are for, where they do not say so: the configs of the images tell it, as to containerd."""
from collections.abc import Sequence
from dataclasses import replace

from occystrap_core.errors import ImageNotFound, InvalidImage
from occystrap_core.image.manifest_reader import DEEPEST, ManifestReader
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform, PlatformChoice


def without_covers(reader: ManifestReader, index: Index) -> Index:
    """Return the index that is within one that lists nothing else; raises as ManifestReader.index does."""
    for _ in range(DEEPEST):
        if len(index.manifests) != 1 or index.manifests[0].platform:
            return index
        found = reader.read(index.manifests[0])
        if isinstance(found, Manifest):
            return index
        index = found
    raise InvalidImage(f'{reader.reference} has indexes within indexes, more than {DEEPEST} deep')


def with_platforms(reader: ManifestReader, index: Index, choice: PlatformChoice) -> Index:
    """Return an index whose entries say what they are for, where that is needed to find what is expected.

    Its bytes are the original's. Raises as ManifestReader.index does.
    """
    said = [entry.platform for entry in index.manifests]
    if all(any(each and each.satisfies(wanted) for each in said) for wanted in choice.platforms):
        return index
    configs = _Platforms(reader)
    return index._replace(manifests=tuple(replace(entry, platform=configs.wanted(entry, choice))
                                          for entry in index.manifests))


class _Platforms:
    """The platforms of what entries point at; what is listed often is read once."""

    def __init__(self, reader: ManifestReader) -> None:
        self._reader = reader
        self._told: dict[Digest, Sequence[Platform]] = {}

    def wanted(self, entry: Descriptor, choice: PlatformChoice) -> Platform | None:
        """Return what an entry is for; where that is an index, what it has that is expected, else the first."""
        there = self._of(entry, 0)
        return next((each for each in there for wanted in choice.platforms if each.satisfies(wanted)),
                    next(iter(there), None))

    def _of(self, entry: Descriptor, depth: int) -> Sequence[Platform]:
        if entry.platform and str(entry.platform):
            return [entry.platform]
        if depth > DEEPEST:
            raise InvalidImage(f'{self._reader.reference} has indexes within indexes, more than {DEEPEST} deep')
        if entry.digest not in self._told:
            self._told[entry.digest] = ()  # no digest leads back to itself, but for as long as it is being read
            self._told[entry.digest] = self._read(entry, depth)
        return self._told[entry.digest]

    def _read(self, entry: Descriptor, depth: int) -> Sequence[Platform]:
        try:
            found = self._reader.read(entry)
            if isinstance(found, Manifest):
                platform = self._reader.contents.platform(found)
                return [platform] if platform else []
        except ImageNotFound:  # what is not there cannot be what is expected
            return ()
        return list(dict.fromkeys(each for inner in found.manifests for each in self._of(inner, depth + 1)))
