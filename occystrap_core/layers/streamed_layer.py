"""A layer whose blob is made while a writer sends it: nothing of it is kept."""
from collections.abc import Callable

from occystrap_core.files.compression import COMPRESSIONS
from occystrap_core.files.compressors import Compressed
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.layers.recompression import compressing_threads
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.media_types import OCI_MANIFEST, layer_media_type
from occystrap_core.settings import Settings


class StreamedLayer(Layer):
    """A layer of a source without blobs, compressed each time it is opened, with the same result. Its descriptor is
    known after the stream opened last was read to its end."""

    original: Layer

    def __init__(self, original: Layer, compression: str, observe: Callable[[int], None], settings: Settings) -> None:
        """`compression` is a key of COMPRESSIONS; `observe` gets the number of bytes of the tar as they are read."""
        self.original, self.index, self.diff_id = original, original.index, original.diff_id
        self.descriptor: Descriptor | None = None
        self._compression, self._observe = compression, observe
        self._threads = compressing_threads(settings)

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob."""
        self.descriptor = None
        tar = self.original.tar(observers)
        tar.observe(self._observe)
        blob = ByteStream(Compressed(tar, self._compression, self._threads), what=f'layer {self.original.diff_id}')
        blob.observe(lambda count: self._learn(tar, blob))
        return blob

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the original's tar."""
        return self.original.tar(observers)

    def tar_size(self) -> int | None:
        """Return the original's hint."""
        return self.original.tar_size()

    @property
    def differs(self) -> bool:  # type: ignore[override]
        """Whether the original's tar differs from its source's."""
        return self.original.differs

    @property
    def stored_size(self) -> int:
        """Bytes to read for the original."""
        return self.original.stored_size

    def _learn(self, tar: ByteStream, blob: ByteStream) -> None:
        if blob.ended:
            media_type = layer_media_type(OCI_MANIFEST, COMPRESSIONS[self._compression])
            self.diff_id, self.descriptor = tar.digest, Descriptor(media_type, blob.digest, blob.size)
