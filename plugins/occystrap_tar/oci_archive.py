"""Reading OCI archives: an image layout (image-spec image-layout.md) within a tar."""
from occystrap_core import (
    Contents, DigestMismatch, Image, InvalidImage, Origin, Readable, SizeMismatch, StoredLayer, concerning,
    platforms_of,
)
from occystrap_core.oci import (
    INDEX, LAYOUT, MANIFEST_CAP, Descriptor, Digest, Index, LayoutEntries, Manifest, Offer, Platform, Reference,
    blob_name, layout_offers, media_types, parse_manifest_or_index, require_version, select_entry,
)
from occystrap_tar.members import Archive
from occystrap_tar.tar_sizes import tar_size


def offers(archive: Archive) -> list[Offer[LayoutEntries]]:
    """Return the images in index.json; raises InvalidImage when it is none, or the layout's version is unknown."""
    with concerning('archive'):
        require_version(archive.read(LAYOUT, MANIFEST_CAP), archive.name)
    return layout_offers(_index(archive).manifests)


def find_image(archive: Archive, config: Digest) -> LayoutEntries | None:
    """Return the image with this config, wherever in index.json it is; None when it is not there, or not whole."""
    contents = ArchiveContents(archive)
    pending = list(_index(archive).manifests) if INDEX in archive.members and LAYOUT in archive.members else []
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


def open_image(archive: Archive, image: LayoutEntries, reference: Reference, platform: Platform) -> Image:
    """Return the image, of `platform` where there are several; raises InvalidImage, ImageNotFound."""
    contents = ArchiveContents(archive)
    manifest, origin = _manifest(contents, image, platform)
    if manifest.config.media_type not in media_types.CONFIGS:
        raise InvalidImage(f'{archive.name} holds no container image: its config is a {manifest.config.media_type}')
    opened = contents.image(reference, manifest)
    opened.origin = origin
    return opened


class ArchiveContents(Contents):
    """The blobs of an image layout within a tar."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """Read what an entry points at."""
        return parse_manifest_or_index(self.document(entry, 'the manifest'), entry.media_type)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """Read a small blob."""
        raw = self._archive.read(blob_name(descriptor.digest), MANIFEST_CAP)
        if Digest.of(raw) != descriptor.digest or len(raw) != descriptor.size:
            kind = DigestMismatch if Digest.of(raw) != descriptor.digest else SizeMismatch
            raise kind(f'{self._archive.name}: blob {descriptor.digest} has digest {Digest.of(raw)} and {len(raw)} '
                       f'bytes, should have {descriptor.size}')
        return raw

    def blob(self, descriptor: Descriptor) -> Readable:
        """Open a member."""
        return self._archive.open(self._archive.find(blob_name(descriptor.digest)))

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Look at its first and last bytes."""
        return tar_size(self._archive, self._archive.find(blob_name(descriptor.digest)))

    def layer(self, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        """Return a layer, its size checked."""
        with concerning('layer'):
            member = self._archive.find(blob_name(descriptor.digest))
            if member.size != descriptor.size:
                raise SizeMismatch(f'{self._archive.name}: layer {descriptor.digest} has {member.size} bytes, should '
                                   f'have {descriptor.size}')
        return super().layer(index, descriptor, diff_id)


def _manifest(contents: ArchiveContents, image: LayoutEntries, platform: Platform) -> tuple[Manifest, Origin]:
    """Return the manifest of a platform, and what it was taken from."""
    found = select_entry(image)
    entry = found.select(platform) if isinstance(found, Index) else found
    with concerning('manifest'):
        manifest = contents.manifest(entry)
        origin = Origin(None, platforms_of(found)) if isinstance(found, Index) else Origin.of(manifest)
        if isinstance(manifest, Manifest):
            return manifest, origin
        entry = manifest.select(platform)
        return Manifest.parse(contents.document(entry, 'the manifest'), entry.media_type), origin


def _index(archive: Archive) -> Index:
    return Index.parse(archive.read(INDEX, MANIFEST_CAP))
