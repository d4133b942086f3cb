"""Reading files back from the device: reading the page cache would prove nothing about the device."""
import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from occystrap_core.files.readahead import ReadAhead
from occystrap_core.files.stream import ByteStream, ChunkedSource
from occystrap_core.oci.digest import SHA256, Digest

_ALIGNMENT = 4096
_BLOCK = 4 << 20
_NOTHING_UNWRITTEN = (errno.EROFS, errno.EINVAL)
"""Errors of a flush on a read-only file system, and of files that cannot be flushed."""


class DeviceFile(ChunkedSource):
    """The bytes of a file, or a part of it, not from the page cache: by O_DIRECT, else after dropping its pages."""

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None) -> None:
        """`offset` and `size` in bytes; without `size` up to the end of the file. Raises OSError."""
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
        flags = os.O_RDONLY | os.O_NONBLOCK  # a FIFO must not block
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
        """Yield the bytes; the buffer is page-aligned, as O_DIRECT requires. Raises OSError."""
        position = self._offset
        needed = self._end - position + 2 * _ALIGNMENT  # O_DIRECT would pin the pages of a larger buffer, too
        size = min(_BLOCK, needed - needed % _ALIGNMENT)
        view = memoryview(mmap.mmap(-1, size))  # not closed: readers may still hold slices of it
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
    """Drop the cached pages of an open file; raises OSError if written data cannot be flushed first."""
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_UNWRITTEN:
            raise
    with suppress(OSError):  # only regular files have pages
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def hash_file(path: str | os.PathLike[str], offset: int = 0, size: int | None = None, algorithm: str = SHA256,
              ) -> tuple[Digest, int]:
    """Return digest, by the given algorithm, and size of a file's bytes on the device; raises OSError."""
    with ByteStream(ReadAhead(DeviceFile(path, offset, size)), what=str(path), algorithm=algorithm) as stream:
        return stream.drain(), stream.size
