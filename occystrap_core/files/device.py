"""Reading files back from the device: a cached re-read would prove only the page cache."""
import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from occystrap_core.files.readahead import ReadAhead
from occystrap_core.files.stream import ByteStream, ChunkedSource
from occystrap_core.oci.digest import Digest

_ALIGNMENT = 4096
_BLOCK = 4 << 20
_NOTHING_UNWRITTEN = (errno.EROFS, errno.EINVAL)
"""What a read-only file system says to a flush, and what cannot be flushed at all."""


class DeviceFile(ChunkedSource):
    """The bytes of a file, or a part of it, past the page cache: O_DIRECT, else after its pages were dropped."""

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None) -> None:
        """`offset` and `size` in bytes; without `size` to the end of the file. Raises OSError."""
        super().__init__()
        self._descriptor: int | None = self._open(path)
        self._offset = offset
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OSError(errno.EINVAL, 'not a regular file', os.fspath(path))
        end = status.st_size
        self._end = end if size is None else min(end, offset + size)

    def _open(self, path: str | os.PathLike[str]) -> int:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not block
        try:
            return os.open(path, flags | os.O_DIRECT)
        except OSError:
            descriptor = os.open(path, flags)
        try:
            forget_cached(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes; the buffer is page-aligned, as O_DIRECT wants it."""
        position = self._offset
        wanted = self._end - position + 2 * _ALIGNMENT  # pages of a buffer that is too large would be pinned as well
        size = min(_BLOCK, wanted - wanted % _ALIGNMENT)
        view = memoryview(mmap.mmap(-1, size))  # never closed by hand: readers may still hold slices of it
        while position < self._end and self._descriptor is not None:
            aligned = position - position % _ALIGNMENT
            count = os.preadv(self._descriptor, [view], aligned)
            piece = view[position - aligned:max(position - aligned, min(count, self._end - aligned))]
            if not piece:
                return
            position += len(piece)
            yield piece

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def forget_cached(descriptor: int) -> None:
    """Have an open file be read from the device from now on; raises OSError when what was written is not on it."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_UNWRITTEN:
            raise
    with suppress(OSError):  # what is no file has no pages
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def hash_file(path: str | os.PathLike[str], offset: int = 0, size: int | None = None) -> tuple[Digest, int]:
    """Return digest and size of a file's bytes as the device has them; raises OSError."""
    with ByteStream(ReadAhead(DeviceFile(path, offset, size)), what=str(path)) as stream:
        return stream.drain(), stream.size
