"""Platforms of index entries that do not state one: they are read from the configs of the images, as in containerd."""
from collections.abc import Sequence
from dataclasses import replace

from occystrap_core.errors import ImageNotFound, InvalidImage
from occystrap_core.image.manifest_reader import DEEPEST, ManifestReader
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform, PlatformChoice


def without_covers(reader: ManifestReader, index: Index) -> Index:
    """Return the innermost index of nested indexes that have a single entry each; raises as ManifestReader.index does.
    """
    for _ in range(DEEPEST):
        if len(index.manifests) != 1 or index.manifests[0].platform:
            return index
        found = reader.read(index.manifests[0])
        if isinstance(found, Manifest):
            return index
        index = found
    raise InvalidImage(f'{reader.reference} has indexes nested more than {DEEPEST} deep')


def with_platforms(reader: ManifestReader, index: Index, choice: PlatformChoice) -> Index:
    """Return an index whose entries have platforms, as far as `choice` needs them.

    Its bytes are the original's. Raises as ManifestReader.index does.
    """
    said = [entry.platform for entry in index.manifests]
    if all(any(each and each.satisfies(requested) for each in said) for requested in choice.platforms):
        return index
    configs = _Platforms(reader)
    return index._replace(manifests=tuple(replace(entry, platform=configs.requested(entry, choice))
                                          for entry in index.manifests))


class _Platforms:
    """The platforms of what entries refer to; a manifest that is listed several times is read once."""

    def __init__(self, reader: ManifestReader) -> None:
        self._reader = reader
        self._platforms: dict[Digest, Sequence[Platform]] = {}

    def requested(self, entry: Descriptor, choice: PlatformChoice) -> Platform | None:
        """Return the platform of an entry; of a nested index the requested one if it has that, else its first."""
        there = self._of(entry, 0)
        return next((each for each in there for requested in choice.platforms if each.satisfies(requested)),
                    next(iter(there), None))

    def _of(self, entry: Descriptor, depth: int) -> Sequence[Platform]:
        if entry.platform and str(entry.platform):
            return [entry.platform]
        if depth > DEEPEST:
            raise InvalidImage(f'{self._reader.reference} has indexes nested more than {DEEPEST} deep')
        if entry.digest not in self._platforms:
            self._platforms[entry.digest] = ()  # no digest can contain itself, except while it is being read
            self._platforms[entry.digest] = self._read(entry, depth)
        return self._platforms[entry.digest]

    def _read(self, entry: Descriptor, depth: int) -> Sequence[Platform]:
        try:
            found = self._reader.read(entry)
            if isinstance(found, Manifest):
                platform = self._reader.contents.platform(found)
                return [platform] if platform else []
        except ImageNotFound:  # a missing manifest cannot be of the requested platform
            return ()
        return list(dict.fromkeys(each for inner in found.manifests for each in self._of(inner, depth + 1)))
