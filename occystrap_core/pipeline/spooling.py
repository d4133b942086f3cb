"""Making the blob of a layer that has only a tar: compressed once, spooled, used everywhere."""
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from occystrap_core.errors import OutputError
from occystrap_core.image.compression import COMPRESSIONS, compress
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import ByteStream
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.media_types import OCI_MANIFEST, layer_media_type
from occystrap_core.settings import Settings


class SpooledLayer(Layer):
    """A layer whose compressed blob lies in an unnamed temporary file, gone with the process at the latest."""

    def __init__(self, original: Layer, diff_id: Digest, descriptor: Descriptor, spool: BinaryIO) -> None:
        self.original, self.index = original, original.index
        self.diff_id, self.descriptor = diff_id, descriptor
        self._spool = spool

    def stored(self) -> ByteStream:
        """Open the blob."""
        assert self.descriptor
        source = open(f'/proc/self/fd/{self._spool.fileno()}', 'rb', buffering=0)
        return ByteStream(source, digest=self.descriptor.digest, size=self.descriptor.size,
                          what=f'the spooled layer {self.descriptor.digest}')

    def tar(self) -> ByteStream:
        """Open the tar where it came from."""
        assert self.original
        return self.original.tar()

    def release(self) -> None:
        """Give the disk space back."""
        self._spool.close()


def spool(layer: Layer, tar: ByteStream, compression: str, settings: Settings) -> SpooledLayer:
    """Return `layer` with a blob, made by reading `tar` to its end and compressing it as `compression`.

    Raises OutputError when the temporary folder cannot take it.
    """
    target = _HashingFile(settings.temporary)
    try:
        compress(tar, cast(BinaryIO, target), compression, min(settings.jobs, len(os.sched_getaffinity(0))))
        target.flush()
    except BaseException:
        with suppress(OSError):
            target.file.close()
        raise
    media_type = layer_media_type(OCI_MANIFEST, COMPRESSIONS[compression])
    digest = Digest(f'sha256:{target.hash.hexdigest()}')
    return SpooledLayer(layer, tar.digest, Descriptor(media_type, digest, target.size), target.file)


class _HashingFile:
    """An unnamed temporary file that hashes and counts what is written to it; its errors are OutputErrors."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.hash = hashlib.sha256()
        self.size = 0
        with self._explained():
            import tempfile  # late: it takes milliseconds that most copies need not spend
            self.file = cast(BinaryIO, tempfile.TemporaryFile(dir=folder, prefix='occystrap-'))

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        with self._explained():
            return self.file.write(data)

    def flush(self) -> None:
        with self._explained():
            self.file.flush()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f'cannot spool a layer in {self._folder}: {error.strerror}; name a roomier folder '
                              'with --temp-dir') from None
