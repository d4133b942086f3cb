"""Artifacts: manifests in the form of an image that are not images, such as a signature, an SBOM or a chart."""
from collections.abc import Callable
from functools import partial

from occystrap_core.errors import InvalidImage
from occystrap_core.files.held_bytes import with_held
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.image.image import Image
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Manifest
from occystrap_core.oci.reference import Reference


class OpaqueBlob(Layer):
    """A blob of unknown content: stored bytes, never a tar."""

    def __init__(self, index: int, descriptor: Descriptor, opener: Callable[[], Readable],
                 rest: Callable[[int], Readable] | None = None, base: str = '') -> None:
        """`opener` opens the blob, `rest` at an offset, None if that is impossible; `base` as in StoredLayer."""
        self.index, self.descriptor, self._opener, self._rest, self.base = index, descriptor, opener, rest, base
        self.diff_id = descriptor.digest  # it has no other content

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob; its end checks digest and size."""
        assert self.descriptor
        source = with_held(observers.held, self.descriptor.size, self._opener, self._rest)
        stream = ByteStream(source, digest=self.descriptor.digest, size=self.descriptor.size,
                            what=f'blob {self.descriptor.digest}')
        if observers.moved:
            stream.observe(observers.moved)
        return stream

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Raise InvalidImage: an opaque blob is not a tar."""
        assert self.descriptor
        raise InvalidImage(f'blob {self.descriptor.digest} is a {self.descriptor.media_type}, not a layer of an image')


class Artifact(Image):
    """A manifest whose config and layers are opaque. It is copied unchanged, to destinations that hold blobs and
    manifests."""

    manifest: Manifest

    def __init__(self, reference: Reference, config: bytes, manifest: Manifest,
                 opener: Callable[[Descriptor], Readable],
                 rest: Callable[[Descriptor, int], Readable] | None = None,
                 base: Callable[[Digest], str] = lambda digest: '') -> None:
        """`config` is the blob that the manifest has as its config; `opener` opens the other blobs, `rest` at an offset
        in bytes; `base` names the image that has a blob which the source leaves out."""
        blobs = [OpaqueBlob(index, each, partial(opener, each), partial(rest, each) if rest else None,
                            base(each.digest))
                 for index, each in enumerate(manifest.layers)]
        layers = tuple(each.digest for each in manifest.layers)
        opaque = ImageConfig(config, layers, manifest.config.digest.algorithm)
        super().__init__(reference, opaque, blobs, manifest)
