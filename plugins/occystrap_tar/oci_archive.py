"""Reading OCI archives: an image layout (image-spec image-layout.md) within a tar."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from occystrap_core import DigestMismatch, Image, InvalidImage, SizeMismatch, StoredLayer, concerning
from occystrap_core.oci import (
    MANIFEST_CAP, Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference, media_types,
    parse_manifest_or_index, parse_object,
)
from occystrap_tar.choosing import UNTAGGED, Offer, parse_name
from occystrap_tar.members import Archive
from occystrap_tar.tar_sizes import tar_size

INDEX, LAYOUT = 'index.json', 'oci-layout'
REF_NAME = 'org.opencontainers.image.ref.name'
_CONTAINERD_NAME = 'io.containerd.image.name'

Entries = Sequence[Descriptor]
"""One image in index.json: an entry, or several of different platforms."""


def blob_name(digest: Digest) -> str:
    """Return where a blob is within the layout."""
    return f'blobs/sha256/{digest.hex}'


def offers(archive: Archive) -> list[Offer[Entries]]:
    """Return the images in index.json; raises InvalidImage when it is none, or the layout's version is unknown."""
    _check_version(archive)
    by_name: dict[str, list[Descriptor]] = {}
    for entry in _index(archive).manifests:
        if not (entry.platform and entry.platform.os == 'unknown'):  # an attestation, which belongs to an image
            by_name.setdefault(_name(entry), []).append(entry)
    return [offer for name, entries in by_name.items() for offer in _offers(name, entries)]


def _offers(name: str, entries: Entries) -> Iterator[Offer[Entries]]:
    """Yield entries of one name as one image if platforms tell them apart, else each by itself."""
    platforms = {entry.platform for entry in entries}
    together = None not in platforms and len(platforms) == len(entries)
    for image in [entries] if together else [[entry] for entry in entries]:
        yield Offer(image, {name: _reference(name)} if name else {}, image[0].digest.hex if len(image) == 1 else '')


def find_image(archive: Archive, config: Digest) -> Entries | None:
    """Return the image with this config, wherever in index.json it is; None when it is not there, or not whole."""
    pending = list(_index(archive).manifests) if INDEX in archive.members and LAYOUT in archive.members else []
    seen: set[Digest] = set()
    for entry in pending:
        if entry.digest in seen or blob_name(entry.digest) not in archive.members:
            continue
        seen.add(entry.digest)
        manifest = parse_manifest_or_index(_document(archive, entry), entry.media_type)
        if isinstance(manifest, Index):
            pending.extend(manifest.manifests)
        elif manifest.config.digest == config:
            return [entry]
    return None


def open_image(archive: Archive, image: Entries, reference: Reference, platform: Platform) -> Image:
    """Return the image, of `platform` where there are several; raises InvalidImage, ImageNotFound."""
    manifest = _manifest(archive, image, platform)
    if manifest.config.media_type not in (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG):
        raise InvalidImage(f'{archive.name} holds no container image: its config is a {manifest.config.media_type}')
    with concerning('config'):
        config = ImageConfig.parse(_document(archive, manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidImage(f'{archive.name}: the manifest lists {len(manifest.layers)} layers, the config '
                           f'{len(config.diff_ids)}', 'layer-count')
    layers = [_layer(archive, index, descriptor, diff_id)
              for index, (descriptor, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True))]
    return Image(reference, config, layers, manifest)


def _manifest(archive: Archive, image: Entries, platform: Platform) -> Manifest:
    entry = image[0] if len(image) == 1 else _select(image, platform)
    with concerning('manifest'):
        manifest = parse_manifest_or_index(_document(archive, entry), entry.media_type)
        if isinstance(manifest, Manifest):
            return manifest
        entry = manifest.select(platform)
        return Manifest.parse(_document(archive, entry), entry.media_type)


def _select(image: Entries, platform: Platform) -> Descriptor:
    return Index(b'', media_types.OCI_INDEX, tuple(image)).select(platform)


def _layer(archive: Archive, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
    with concerning('layer'):
        member = archive.find(blob_name(descriptor.digest))
        if member.size != descriptor.size:
            raise SizeMismatch(f'{archive.name}: layer {descriptor.digest} has {member.size} bytes, should have '
                               f'{descriptor.size}')
    return StoredLayer(index, descriptor, diff_id, partial(archive.open, member), partial(tar_size, archive, member))


def _document(archive: Archive, descriptor: Descriptor) -> bytes:
    raw = archive.read(blob_name(descriptor.digest), MANIFEST_CAP)
    if Digest.of(raw) != descriptor.digest or len(raw) != descriptor.size:
        kind = DigestMismatch if Digest.of(raw) != descriptor.digest else SizeMismatch
        raise kind(f'{archive.name}: blob {descriptor.digest} has digest {Digest.of(raw)} and {len(raw)} '
                   f'bytes, should have {descriptor.size}')
    return raw


def _reference(name: str) -> Reference:
    """Return a name as a reference; image-spec annotations.md allows a mere tag as well."""
    mere_tag = '/' not in name and ':' not in name
    return replace(UNTAGGED, tag=parse_name(f'untagged:{name}').tag) if mere_tag else parse_name(name)


def _check_version(archive: Archive) -> None:
    """Raise InvalidImage unless the archive says that it is a layout of a version we know."""
    with concerning('archive'):
        version = parse_object(archive.read(LAYOUT, MANIFEST_CAP), LAYOUT).get('imageLayoutVersion')
        if version != '1.0.0':
            raise InvalidImage(f'{archive.name} has image layout version {version!r}, 1.0.0 is wanted')


def _index(archive: Archive) -> Index:
    return Index.parse(archive.read(INDEX, MANIFEST_CAP))


def _name(entry: Descriptor) -> str:
    return str(entry.annotations.get(_CONTAINERD_NAME) or entry.annotations.get(REF_NAME) or '')
