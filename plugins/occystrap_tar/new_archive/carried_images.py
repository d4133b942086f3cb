"""Images of the old archive that a run names but could not copy: the new archive keeps them."""
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, MANIFEST_CAP, Descriptor, Digest, Entry, IndexFile, blobs_below, is_referrer_tag, left_out_by,
    named_entry, names_of, referrers_tag, subject_of,
)
from occystrap_tar.archive.members import Archive
from occystrap_tar.archive.oci_archive import ArchiveStore, stored_key


class CarriedImage(NamedTuple):
    """An image with its referrers: its name, its entries in index.json, and their blobs in the archive."""

    name: str
    digest: Digest
    entries: Sequence[Entry]
    blobs: Collection[Digest]


class _Listed(NamedTuple):
    """An entry in index.json; `subjects` has what it refers to, as a digest or as the tag that stands for one."""

    entry: Entry
    manifest: Descriptor
    subjects: Collection[Digest | str]


def carried_images(archive: Archive, keys: Collection[str]) -> Iterator[CarriedImage]:
    """Yield the images of an OCI archive that have one of these names, as `name_keys` returns them.

    Raises InvalidImage, or OSError, if a document of the archive is damaged.
    """
    index, store = IndexFile.parse(archive.read(INDEX_FILE, MANIFEST_CAP), INDEX_FILE), ArchiveStore(archive)
    listed = [_Listed(entry, manifest, _subjects(store, entry, manifest))
              for entry, manifest in zip(index.entries, index.manifests, strict=True)]
    for each in listed:
        name = max(names_of(each.entry), key=len)
        if name and not each.subjects and stored_key(name) in keys:
            yield _with_referrers(store, name, each, listed)


def _with_referrers(store: ArchiveStore, name: str, image: _Listed, listed: Sequence[_Listed]) -> CarriedImage:
    taken, blobs = [image], blobs_below(store.manifest, [image.manifest])
    reached: set[Digest | str] = set()
    while more := blobs - reached:
        reached |= {*more, *map(referrers_tag, more)}
        found = [each for each in listed if each not in taken and not reached.isdisjoint(each.subjects)]
        taken += found
        blobs |= blobs_below(store.manifest, [each.manifest for each in found])
    return CarriedImage(name, image.manifest.digest, [_with_one_name(each) for each in taken],
                        blobs - left_out_by([image.manifest]).keys())


def _with_one_name(listed: _Listed) -> Entry:
    """Return the entry with only one name; other programs add names of their own."""
    names = names_of(listed.entry)
    return listed.entry if len(names) == 1 else named_entry(
        listed.manifest, max(names, key=len), left_out_by([listed.manifest]))


def _subjects(store: ArchiveStore, entry: Entry, manifest: Descriptor) -> Collection[Digest | str]:
    names = names_of(entry)
    if is_referrer_tag(*names):
        return {name.rpartition(':')[2].partition('.')[0] for name in names}
    try:
        subject = None if any(names) else subject_of(store.manifest(manifest))
    except ImageError:  # a damaged manifest must not affect the other images
        subject = None
    return {subject} if subject else ()
