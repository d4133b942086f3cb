"""Media types of Docker's image manifest v2.2 and of the OCI image spec (media-types.md)."""
from enum import Enum

from occystrap_core.errors import InvalidImage

OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar'
DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json'
DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar'
DOCKER_FOREIGN_LAYER = 'application/vnd.docker.image.rootfs.foreign.diff.tar'
OCI_FOREIGN_LAYER = 'application/vnd.oci.image.layer.nondistributable.v1.tar'

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)


class Compression(Enum):
    """How a stored layer is compressed."""

    NONE = 'none'
    GZIP = 'gzip'
    ZSTD = 'zstd'

    @property
    def text(self) -> str:
        """The compression in words, for messages."""
        return 'not compressed' if self is Compression.NONE else f'compressed with {self.value}'


_LAYERS = {
    OCI_LAYER: Compression.NONE,
    f'{OCI_LAYER}+gzip': Compression.GZIP,
    f'{OCI_LAYER}+zstd': Compression.ZSTD,
    OCI_FOREIGN_LAYER: Compression.NONE,
    f'{OCI_FOREIGN_LAYER}+gzip': Compression.GZIP,
    f'{OCI_FOREIGN_LAYER}+zstd': Compression.ZSTD,
    DOCKER_LAYER: Compression.NONE,
    f'{DOCKER_LAYER}.gzip': Compression.GZIP,
    f'{DOCKER_LAYER}.zstd': Compression.ZSTD,
    DOCKER_FOREIGN_LAYER: Compression.NONE,
    f'{DOCKER_FOREIGN_LAYER}.gzip': Compression.GZIP,
    f'{DOCKER_FOREIGN_LAYER}.zstd': Compression.ZSTD,
}


def is_layer(media_type: str) -> bool:
    """Return whether this is the media type of a layer of a container image."""
    return media_type in _LAYERS


def layer_compression(media_type: str) -> Compression:
    """Return the compression that a layer's media type declares; raises InvalidImage for any other media type."""
    try:
        return _LAYERS[media_type]
    except KeyError:
        raise InvalidImage(f'its media type {media_type[:100]!r} is {_unreadable(media_type)}; to copy the image as it '
                           'is, give --platform=all and a destination of manifests and blobs, such as registry:// or '
                           'layout://', 'layer-media-type') from None


def _unreadable(media_type: str) -> str:
    """Return what is wrong with a layer media type that cannot be read, and what the user can do."""
    if media_type.endswith('+encrypted'):
        return 'that of an encrypted layer, which cannot be read without its key: decrypt the image first'
    if 'wasm' in media_type:
        return 'that of a WebAssembly module, not of a layer of files'
    return 'not that of a layer of a container image that is plain, gzip or zstd'


def layer_media_type(manifest_type: str, compression: Compression) -> str:
    """Return the layer media type of a manifest's family; only the OCI family has zstd."""
    if manifest_type == DOCKER_MANIFEST:
        return DOCKER_LAYER if compression is Compression.NONE else f'{DOCKER_LAYER}.{compression.value}'
    return OCI_LAYER if compression is Compression.NONE else f'{OCI_LAYER}+{compression.value}'


def essence(content_type: str) -> str:
    """Return a Content-Type header's media type without parameters, in lower case (RFC 9110, 8.3.1)."""
    return content_type.partition(';')[0].strip().lower()
