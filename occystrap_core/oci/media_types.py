"""Media types of Docker's image manifest v2.2 and of the OCI image spec (media-types.md)."""
import re
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
BUILDKIT_CACHE = 'application/vnd.buildkit.cacheconfig.v0'
"""The config of a build cache, which an index lists beside layers, unless BuildKit is told to make a manifest of it."""

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_INDEX)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)

_GENERIC = r'(?s:(?!.*/(vnd|prs|x)\.).*)'
"""Types that say nothing about the content: none, or ones of no vendor (RFC 6838, 3.1), such as
application/octet-stream."""
_LIKE_A_CONFIG = (r'application/vnd\.(oci\.image(\.serialization)?\.config|docker\.container\.image)'
                  r'(\.v[0-9.]+)?([+.]json)?')
_LIKE_A_LAYER = (
    r'|(application|binary)/(octet-stream|(x-)?(g?tar|tgz|gzip|zstd|compress(ed)?)'
    r'([-+.](g?tar|gz(ip)?|zstd?|compressed))?)'
    r'|application/vnd\.(oci\.image\.(serialization\.)?|docker\.(container\.)?image\.)(layer|rootfs)[a-z0-9.]*'
    r'[.+-](x-)?g?tar([.+-](gz(ip)?|zstd?))?(\+?:?chunked)?')
"""Types under which layers of real images are listed by mistake; whether it is an image is up to its config."""


class Compression(Enum):
    """How a stored layer is compressed."""

    NONE = 'none'
    GZIP = 'gzip'
    ZSTD = 'zstd'
    XZ = 'xz'
    BZIP2 = 'bzip2'
    """No media type stands for the last two, but Docker and Podman read them."""

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


def may_be_layer(media_type: str) -> bool:
    """Return whether a layer of a container image may be listed with this type, if only by mistake."""
    return media_type in _LAYERS or bool(re.fullmatch(_LIKE_A_LAYER, essence(media_type)))


def may_be_config(media_type: str) -> bool:
    """Return whether the config of a container image may be listed with this type, if only by mistake."""
    return media_type in CONFIGS or is_generic(media_type) or bool(re.fullmatch(_LIKE_A_CONFIG, essence(media_type)))


def is_generic(media_type: str) -> bool:
    """Return whether a media type says nothing about the content: an empty or a general one."""
    return bool(re.fullmatch(_GENERIC, essence(media_type)))


def layer_compression(media_type: str) -> Compression | None:
    """Return the compression that a layer's media type declares; None if it is one that layers have by mistake.

    Raises InvalidImage for any other media type.
    """
    if may_be_layer(media_type):
        return _LAYERS.get(media_type)
    raise InvalidImage(f'its media type {media_type[:100]!r} is {_unreadable(media_type)}; to copy the image '
                       'unchanged, use --platform=all and a destination of manifests and blobs, such as registry:// or '
                       'layout://', 'layer-media-type')


def said_of_layer(media_type: str) -> str:
    """Return what a layer's media type says about its compression, as words to follow `its media type`."""
    promised = _LAYERS.get(media_type)
    return f'says {promised.text}' if promised else f'{media_type[:100]!r} is not that of a layer'


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
