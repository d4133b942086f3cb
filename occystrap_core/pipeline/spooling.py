"""Making the blob of a layer that has only a tar: compressed once, spooled, used everywhere."""
import hashlib
import os
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from typing import BinaryIO, cast

from occystrap_core.image.compression import COMPRESSIONS, compress
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import ByteStream, IteratorSource, Readable
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.media_types import OCI_MANIFEST, layer_media_type
from occystrap_core.pipeline.kept_blob import KeptBlob
from occystrap_core.pipeline.temporary_file import TemporaryFile
from occystrap_core.settings import Settings


class SpooledLayer(Layer):
    """A layer whose blob lies in an unnamed temporary file."""

    def __init__(self, original: Layer, diff_id: Digest, descriptor: Descriptor, spool: TemporaryFile) -> None:
        self.original, self.index = original, original.index
        self.diff_id, self.descriptor = diff_id, descriptor
        self._spool = spool

    def stored(self) -> ByteStream:
        """Open the blob."""
        assert self.descriptor
        return ByteStream(self._spool.reopened(), digest=self.descriptor.digest, size=self.descriptor.size,
                          what=f'the spooled layer {self.descriptor.digest}')

    def tar(self) -> ByteStream:
        """Open the tar where it came from."""
        assert self.original
        return self.original.tar()

    def release(self) -> None:
        """Give the disk space back."""
        self._spool.close()


def spool(layer: Layer, observe: Callable[[int], None], compression: str, settings: Settings) -> SpooledLayer:
    """Return `layer` with a blob: its source's if no filter changed it, else its tar, compressed as `compression`.

    The layer is read once; `observe` hears of it. The source's blob is kept as long as nothing differs from it; only
    then compressing begins. Raises OutputError when the temporary folder cannot take it.
    """
    with closing(KeptBlob(layer, settings.temporary)) as kept, layer.tar() as tar:
        tar.observe(observe)
        chunks = tar.chunks()
        first = kept.first_that_differs(chunks)
        if first is None:
            return SpooledLayer(layer, tar.digest, *kept.taken())
        source = IteratorSource(chain(kept.tar_before(), [first], chunks))
        return _compressed(layer, tar, source, compression, settings)


def _compressed(layer: Layer, tar: ByteStream, source: Readable, compression: str, settings: Settings) -> SpooledLayer:
    target = _Hashing(TemporaryFile(settings.temporary))
    try:
        compress(source, cast(BinaryIO, target), compression, min(settings.jobs, len(os.sched_getaffinity(0))))
    except BaseException:
        target.file.close()
        raise
    media_type = layer_media_type(OCI_MANIFEST, COMPRESSIONS[compression])
    digest = Digest(f'sha256:{target.hash.hexdigest()}')
    return SpooledLayer(layer, tar.digest, Descriptor(media_type, digest, target.size), target.file)


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
