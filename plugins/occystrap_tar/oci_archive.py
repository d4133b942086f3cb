"""Reading OCI archives: an image layout (image-spec image-layout.md) within a tar."""
from functools import partial

from occystrap_core import DigestMismatch, Image, InvalidImage, StoredLayer, UsageError
from occystrap_core.oci import (
    MANIFEST_CAP, Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference, media_types,
    parse_manifest_or_index, parse_object,
)
from occystrap_tar.members import Archive

INDEX, LAYOUT = 'index.json', 'oci-layout'
REF_NAME = 'org.opencontainers.image.ref.name'


def blob_name(digest: Digest) -> str:
    """Return where a blob is within the layout."""
    return f'blobs/sha256/{digest.hex}'


def choose(archive: Archive, wanted: str | None) -> Descriptor:
    """Return the entry of index.json named `wanted`, or the only one; raises UsageError that lists the names."""
    index = Index.parse(archive.read(INDEX, MANIFEST_CAP))
    names = [_name(entry) for entry in index.manifests]
    if wanted is None:
        if len(index.manifests) != 1:
            raise UsageError(f'{archive.name} has {len(names)} images, choose one with ?image=: '
                             f'{", ".join(filter(None, names)) or "no names"}')
        return index.manifests[0]
    for entry, name in zip(index.manifests, names, strict=True):
        if wanted == name or wanted == entry.digest:
            return entry
    raise UsageError(f'{archive.name} has no image {wanted}; there is: {", ".join(filter(None, names)) or "no names"}')


def reference_of(entry: Descriptor) -> Reference:
    """Return what to call the image: its name where that is one, else `untagged` with its name as tag."""
    name = _name(entry)
    try:
        return Reference.parse(name) if '/' in name or ':' in name else Reference('untagged', name)
    except UsageError:
        return Reference('untagged')


def open_image(archive: Archive, entry: Descriptor, platform: Platform) -> Image:
    """Return the image, of `platform` where the entry is an index; raises InvalidImage, ImageNotFound."""
    manifest = parse_manifest_or_index(_document(archive, entry), entry.media_type)
    if isinstance(manifest, Index):
        entry_of_platform = manifest.select(platform)
        manifest = Manifest.parse(_document(archive, entry_of_platform), entry_of_platform.media_type)
    if manifest.config.media_type not in (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG):
        raise InvalidImage(f'{archive.name} holds no container image: its config is a {manifest.config.media_type}')
    config = ImageConfig.parse(_document(archive, manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidImage(f'{archive.name}: the manifest lists {len(manifest.layers)} layers, the config '
                           f'{len(config.diff_ids)}')
    layers = [_layer(archive, index, descriptor, diff_id)
              for index, (descriptor, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True))]
    return Image(reference_of(entry), config, layers, manifest)


def _layer(archive: Archive, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
    member = archive.find(blob_name(descriptor.digest))
    if member.size != descriptor.size:
        raise InvalidImage(f'{archive.name}: layer {descriptor.digest} has {member.size} bytes, should have '
                           f'{descriptor.size}')
    return StoredLayer(index, descriptor, diff_id, partial(archive.open, member),
                       partial(_tar_size, archive, descriptor))


def _tar_size(archive: Archive, descriptor: Descriptor) -> int | None:
    """Return the size of a gzip blob's content in bytes, from its last four (RFC 1952, 2.3.1): modulo 2^32."""
    if not descriptor.media_type.endswith('gzip'):
        return None
    member = archive.find(blob_name(descriptor.digest))
    with open(archive.path, 'rb') as file:
        file.seek(member.offset + member.size - 4)
        return int.from_bytes(file.read(4), 'little')


def _document(archive: Archive, descriptor: Descriptor) -> bytes:
    raw = archive.read(blob_name(descriptor.digest), MANIFEST_CAP)
    if Digest.of(raw) != descriptor.digest or len(raw) != descriptor.size:
        raise DigestMismatch(f'{archive.name}: blob {descriptor.digest} has digest {Digest.of(raw)}')
    return raw


def check_layout(archive: Archive) -> None:
    """Raise InvalidImage unless the archive says that it is a layout of a version we know."""
    version = parse_object(archive.read(LAYOUT, MANIFEST_CAP), LAYOUT).get('imageLayoutVersion')
    if version != '1.0.0':
        raise InvalidImage(f'{archive.name} has image layout version {version!r}, 1.0.0 is wanted')


def _name(entry: Descriptor) -> str:
    return str(entry.annotations.get('io.containerd.image.name') or entry.annotations.get(REF_NAME) or '')
