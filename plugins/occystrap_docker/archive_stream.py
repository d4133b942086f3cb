"""A docker archive as a stream: what `docker load` takes, with nothing of it on disk."""
import tarfile
from collections.abc import Callable, Iterable

from occystrap_core import CHUNK

_BLOCK = 512
_ZEROS = bytes(CHUNK)


class ArchiveStream:
    """Writes regular files, one after the other, as a tar (POSIX ustar; sizes from 8 GiB on as GNU tar has them)."""

    def __init__(self, write: Callable[[bytes | memoryview], None]) -> None:
        """`write` takes each piece of the archive in turn, and must be done with it when it returns."""
        self._write = write

    def add(self, name: str, size: int, chunks: Iterable[bytes | memoryview]) -> int:
        """Write a file of `size` bytes, and return how many there were in `chunks`, which are read to their end.

        Where these are others than `size` the file is cut, or filled up with zeros, so that the archive stays one.
        """
        header = tarfile.TarInfo(name)
        header.size = size
        self._write(header.tobuf(tarfile.GNU_FORMAT))
        total = 0
        for chunk in chunks:
            if kept := chunk[:max(0, size - total)]:
                self._write(kept)
            total += len(chunk)
        self._fill(max(0, size - total) + -size % _BLOCK)
        return total

    def end(self) -> None:
        """Write the end of the archive: two blocks of zeros."""
        self._fill(2 * _BLOCK)

    def _fill(self, count: int) -> None:
        while count:
            piece = _ZEROS[:count]
            self._write(piece)
            count -= len(piece)
