"""The blob of a layer that has only a tar: the source's own if filters changed nothing, else a compressed one."""
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import BinaryIO, cast

from occystrap_core.errors import InvalidImage
from occystrap_core.files.compression import COMPRESSIONS, Peeked, detect_compression, inflate_cut
from occystrap_core.files.stream import CHUNK, ByteStream, IteratorSource, Readable
from occystrap_core.files.temporary_file import TemporaryFile
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.media_types import OCI_MANIFEST, Compression, layer_media_type
from occystrap_core.settings import Settings


class KeptBlob:
    """The blob of a layer's source, saved while it is read; nothing if the source has no blob."""

    def __init__(self, layer: Layer, directory: str) -> None:
        """`directory` is for the temporary file. Open the layer with `write` as the observer that gets its blob."""
        self._layer, self._directory = layer, directory
        self._file: TemporaryFile | None = None
        self._passed = 0
        self._keeps = layer.source.descriptor is not None
        if self._keeps:
            self._file = TemporaryFile(directory)

    def first_that_differs(self, chunks: Iterator[memoryview]) -> memoryview | None:
        """Take chunks of the layer's tar while they equal the source's; return the first that may differ.

        Returns None if the whole tar is the same and its blob is kept.
        """
        for chunk in chunks:
            if self._layer.differs or self._file is None:
                self._keeps = False
                return chunk
            self._passed += len(chunk)
        return memoryview(b'') if self._layer.differs or self._file is None else None

    def tar_before(self) -> Iterator[memoryview]:
        """Yield the tar before the first chunk that differs; raises InvalidImage if it cannot be recovered."""
        left = self._passed
        if not left:
            return
        assert self._file and self._layer.source.descriptor
        source = inflate_cut(self._file.reopened(), self._compression(self._file))
        buffer = memoryview(bytearray(CHUNK))
        while left:
            count = source.readinto(buffer[:left])
            if not count:
                raise InvalidImage(f'the beginning of layer {self._layer.source.descriptor.digest} cannot be recovered')
            yield buffer[:count]
            left -= count
        source.close()

    def taken(self) -> tuple[Descriptor, TemporaryFile]:
        """Return the whole blob, its media type that of its content, and the file, which the caller must close."""
        file, self._file = self._file, None
        descriptor = self._layer.source.descriptor
        assert file and descriptor
        actual = self._compression(file)
        if actual is not media_types.layer_compression(descriptor.media_type):
            descriptor = replace(descriptor, media_type=layer_media_type(OCI_MANIFEST, actual))
        return descriptor, file

    def _compression(self, file: TemporaryFile) -> Compression:
        """Return the compression of the kept bytes, whatever their media type says."""
        with closing(file.reopened()) as kept:
            return detect_compression(Peeked(kept).peek())

    def close(self) -> None:
        """Free the disk space, unless the blob was taken."""
        self._keeps = False
        if self._file:
            self._file.close()

    def write(self, data: memoryview) -> None:
        """Keep bytes of the blob while they may be needed. Called on the thread that receives it."""
        if self._keeps and self._file:
            self._file.write(data)


class SpooledLayer(Layer):
    """A layer whose blob is in an unnamed temporary file."""

    def __init__(self, original: Layer, diff_id: Digest, descriptor: Descriptor, spool: TemporaryFile) -> None:
        self.original, self.index = original, original.index
        self.diff_id, self.descriptor = diff_id, descriptor
        self._spool = spool

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob."""
        assert self.descriptor
        return ByteStream(self._spool.reopened(), digest=self.descriptor.digest, size=self.descriptor.size,
                          what=f'the spooled layer {self.descriptor.digest}')

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the original's tar."""
        assert self.original
        return self.original.tar(observers)

    def release(self) -> None:
        """Free the disk space."""
        self._spool.close()


def spool(layer: Layer, observe: Callable[[int], None], observers: ReadObservers, compression: str,
          settings: Settings) -> SpooledLayer:
    """Return `layer` with a blob: its source's if no filter changed it, else its tar, compressed as `compression`.

    The layer is read once; `observe` gets the number of bytes of its tar, `observers` are for its source. The source's
    blob is kept until the tar differs from the source's; only then does compression start. Raises OutputError when the
    temporary directory has no room.
    """
    kept = KeptBlob(layer, settings.temporary)
    with closing(kept), layer.tar(observers._replace(kept=kept.write)) as tar:
        tar.observe(observe)
        chunks = tar.chunks()
        first = kept.first_that_differs(chunks)
        if first is None:
            return SpooledLayer(layer, tar.digest, *kept.taken())
        source = IteratorSource(chain(kept.tar_before(), [first], chunks))
        return _compressed(layer, tar, source, compression, settings)


def compressing_threads(settings: Settings) -> int:
    """Return on how many threads one layer is compressed."""
    return min(settings.jobs, len(os.sched_getaffinity(0)))


def _compressed(layer: Layer, tar: ByteStream, source: Readable, compression: str, settings: Settings) -> SpooledLayer:
    from occystrap_core.files.compressors import compress  # late, as most copies compress nothing
    target = _Hashing(TemporaryFile(settings.temporary))
    try:
        compress(source, cast(BinaryIO, target), compression, compressing_threads(settings))
    except BaseException:
        target.file.close()
        raise
    media_type = layer_media_type(OCI_MANIFEST, COMPRESSIONS[compression])
    descriptor = Descriptor(media_type, Digest.of_hash(target.hash), target.size)
    return SpooledLayer(layer, tar.digest, descriptor, target.file)


class _Hashing:
    """Hashes and counts what is written to a file."""

    def __init__(self, file: TemporaryFile) -> None:
        self.file, self.size = file, 0
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        pass
