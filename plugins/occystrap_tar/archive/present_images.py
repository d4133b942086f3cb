"""The content of a file at the destination of an archive: images in either list, and other members."""
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from occystrap_core import InvalidImage
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, MANIFEST_CAP, Descriptor, Digest, Index, Manifest, independent_images, layout_offers, parse_object,
    select_entry, subject_of,
)
from occystrap_tar.archive import docker_archive
from occystrap_tar.archive.members import MANIFEST, Archive
from occystrap_tar.archive.oci_archive import ArchiveStore, read_index, stored_key

_HEX = r'[0-9a-f]{64}(?:[0-9a-f]{64})?'
_CONTENT = re.compile(rf'blobs/sha(?:256|512)/{_HEX}|(?:sha(?:256|512):)?{_HEX}(?:\.json|\.tar(?:\.gz)?|/layer\.tar)?')
"""Names of members that only occur in image archives, of any program."""
_BESIDES = re.compile(rf'manifest\.json|index\.json|oci-layout|repositories|version|blobs(?:/sha(?:256|512))?|'
                      rf'{_HEX}/(?:VERSION|json)|')
"""Names of the other members of such archives, and of their root directory."""


class PresentImage(NamedTuple):
    """An image in an archive that will be replaced: its names, its index if it has several platforms, its digest.

    In a docker archive the digest is the image ID.
    """

    names: Sequence[str]
    several: Index | None
    digest: Digest | None

    def __str__(self) -> str:
        return self.names[0] if self.names else str(self.digest or 'an image without a name')

    def has_name_of(self, keys: Collection[str]) -> bool:
        """Return whether one of its names is among these, as `name_keys` returns them."""
        return any(stored_key(name) in keys for name in self.names)


def present_images(archive: Archive) -> list[PresentImage]:
    """Return the images in either list, without referrers; several entries of one name form an index.

    A list that cannot be read counts as empty. Raises OSError.
    """
    found: list[PresentImage] = []
    with suppress(ImageError):
        found += _stored(archive)
    with suppress(ImageError):
        keys = {stored_key(name) for each in found for name in each.names}
        found += [each for each in _saved(archive) if not found or each.names and not each.has_name_of(keys)]
    return found


def _stored(archive: Archive) -> Iterator[PresentImage]:
    if not archive.has(INDEX_FILE):
        return
    store = ArchiveStore(archive)
    for offer in independent_images(store.manifest, layout_offers(read_index(archive).manifests)):
        entry = select_entry(offer.image)
        document = _document(store, entry)
        if offer.names or not (document and subject_of(document)):
            yield PresentImage(list(offer.names), document if isinstance(document, Index) else None, entry.digest)


def _saved(archive: Archive) -> Iterator[PresentImage]:
    if archive.has(MANIFEST):
        yield from (PresentImage(offer.image.tags, None, offer.image.image_id)
                    for offer in docker_archive.offers(archive))


def _document(store: ArchiveStore, entry: Descriptor | Index) -> Manifest | Index | None:
    """Return the manifest of an entry, None if it is missing or damaged."""
    try:
        return entry if isinstance(entry, Index) else store.manifest(entry)
    except ImageError:
        return None


def is_content(name: str) -> bool:
    """Return whether a member's name is one that image archives alone have."""
    return _CONTENT.fullmatch(name.removeprefix('./')) is not None


def other_members(archive: Archive) -> Sequence[str] | None:
    """Return the names of members that do not belong to images; None if it is not an archive of images at all.

    If an archive of images is damaged or truncated, the names of its members decide. Raises OSError.
    """
    listed = _listed(archive)
    names = [name for name in archive.counts if name not in (listed or ())]
    if listed is None and not any(map(_CONTENT.fullmatch, names)):
        return None
    others = [name for name in names if not _CONTENT.fullmatch(name) and not _BESIDES.fullmatch(name)]
    directories = {above for name in archive.counts for above in _above(name) if name not in others}
    return [name for name in others if name not in directories]


def _above(name: str) -> Iterator[str]:
    parts = name.split('/')
    return ('/'.join(parts[:count]) for count in range(1, len(parts)))


def _listed(archive: Archive) -> Collection[str] | None:
    """Return the members that manifest.json lists, an empty set if there is only an index.json; None if there is no
    list."""
    found: Collection[str] | None = None
    with suppress(InvalidImage):
        read_index(archive)
        found = ()
    with suppress(InvalidImage):
        parse_object(archive.read('repositories', MANIFEST_CAP), 'repositories')
        found = ()
    with suppress(InvalidImage):
        images = [offer.image for offer in docker_archive.offers(archive)]
        found = {name.removeprefix('./') for image in images for name in (image.config, *image.layers)}
    return found
