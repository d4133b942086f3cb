"""Reading OCI archives: an image layout (image-spec image-layout.md) within a tar."""
from collections.abc import Sequence
from typing import NamedTuple

from occystrap_core import BlobStore, Image, ImageIndex, IndexReader, Settings
from occystrap_core.files import DigestMismatch, ImageError, Readable, SizeMismatch, set_error_rule
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, MANIFEST_CAP, Descriptor, Digest, Index, LayoutEntries, Manifest, Offer, PlatformChoice,
    Reference, blob_name, is_referrer_tag, layout_offers, parse_manifest_or_index, require_version, select_entry,
    subject_of,
)
from occystrap_core.tar import StoredLayer
from occystrap_tar.archive.members import Archive
from occystrap_tar.archive.tar_sizes import tar_size


def offers(archive: Archive) -> list[Offer[LayoutEntries]]:
    """Return the images in index.json; raises InvalidImage if it is malformed, or the layout's version is unknown."""
    with set_error_rule('archive'):
        require_version(archive.read(LAYOUT_FILE, MANIFEST_CAP), archive.name)
    return layout_offers(_index(archive).manifests, with_platform=ArchiveStore(archive).with_platform)


def find_image(archive: Archive, config: Digest) -> LayoutEntries | None:
    """Return the image with this config, anywhere below index.json; None if it is missing, or its manifest is."""
    return _find_below(archive, _index(archive).manifests, config) if (
        INDEX_FILE in archive.members and LAYOUT_FILE in archive.members) else None


def _find_below(archive: Archive, entries: LayoutEntries, config: Digest) -> LayoutEntries | None:
    """Return the manifest with this config among these entries, or in an index that they reach."""
    contents, pending = ArchiveStore(archive), list(entries)
    seen: set[Digest] = set()
    for entry in pending:
        if entry.digest in seen or blob_name(entry.digest) not in archive.members:
            continue
        seen.add(entry.digest)
        manifest = contents.manifest(entry)
        if isinstance(manifest, Index):
            pending.extend(manifest.manifests)
        elif manifest.config.digest == config:
            return [entry]
    return None


class PresentImage(NamedTuple):
    """An image in an archive that is to be replaced: its names, and its index if it has several platforms."""

    names: Sequence[str]
    several: Index | None


def present_images(archive: Archive) -> list[PresentImage]:
    """Return what index.json lists, without referrers; several entries of one name form an index."""
    if INDEX_FILE not in archive.members:
        return []
    found = [(list(offer.names), _document(archive, select_entry(offer.image)))
             for offer in layout_offers(_index(archive).manifests) if not is_referrer_tag(*offer.names)]
    return [PresentImage(names, document if isinstance(document, Index) else None) for names, document in found
            if names or not (document and subject_of(document))]


def _document(archive: Archive, entry: Descriptor | Index) -> Manifest | Index | None:
    """Return the manifest of an entry, None if it is missing or damaged."""
    try:
        return entry if isinstance(entry, Index) else ArchiveStore(archive).manifest(entry)
    except ImageError:
        return None


def find_whole(archive: Archive, config: Digest) -> LayoutEntries | None:
    """Return the entries of an image, with all its platforms, one of which has this config; None if there is none."""
    if INDEX_FILE not in archive.members or LAYOUT_FILE not in archive.members:
        return None
    return next((offer.image for offer in offers(archive) if _find_below(archive, offer.image, config)), None)


def open_image(archive: Archive, image: LayoutEntries, reference: Reference, requested: PlatformChoice | None,
               settings: Settings) -> Image | ImageIndex:
    """Return the image, or the requested part of an index; raises InvalidImage, ImageNotFound."""
    contents, entry = ArchiveStore(archive), select_entry(image, bool(requested and not requested.platforms))
    with set_error_rule('manifest'):
        found = entry if isinstance(entry, Index) else contents.manifest(entry)
    entries = entry if isinstance(entry, Index) else None
    return IndexReader(contents, reference, settings).select(found, requested, entries=entries)


class ArchiveStore(BlobStore):
    """The blobs of an image layout within a tar."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """Read the manifest of an entry."""
        raw = self.document(entry, 'the manifest')
        return parse_manifest_or_index(raw, entry.media_type, entry.digest.algorithm)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """Read a small blob."""
        raw = self._archive.read(blob_name(descriptor.digest), MANIFEST_CAP)
        try:
            return descriptor.checked(raw, f'blob {descriptor.digest}')
        except (DigestMismatch, SizeMismatch) as error:
            raise error.renamed(f'{self._archive.name}: {error}') from None

    def blob(self, descriptor: Descriptor) -> Readable:
        """Open a member."""
        return self._archive.open(self._archive.find(blob_name(descriptor.digest)))

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Return the size of a layer's tar, from the first and last bytes of its blob."""
        return tar_size(self._archive, self._archive.find(blob_name(descriptor.digest)))

    def layer(self, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        """Return a layer, its size checked."""
        with set_error_rule('layer'):
            member = self._archive.find(blob_name(descriptor.digest))
            if member.size != descriptor.size:
                raise SizeMismatch(f'{self._archive.name}: layer {descriptor.digest} has {member.size} bytes, should '
                                   f'have {descriptor.size}')
        return super().layer(index, descriptor, diff_id)


def _index(archive: Archive) -> Index:
    return Index.parse(archive.read(INDEX_FILE, MANIFEST_CAP))
