"""A docker archive as a stream: what `docker load` takes, with nothing of it on disk."""
from collections.abc import Callable, Iterable

from occystrap_core.files import CHUNK
from occystrap_core.tar import TAR_END, file_header, padded_size

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
        self._write(file_header(name, size))
        total = 0
        for chunk in chunks:
            if kept := chunk[:max(0, size - total)]:
                self._write(kept)
            total += len(chunk)
        self._fill(max(0, size - total) + padded_size(size) - size)
        return total

    def end(self) -> None:
        """Write the end of the archive: two blocks of zeros."""
        self._write(TAR_END)

    def _fill(self, count: int) -> None:
        while count:
            piece = _ZEROS[:count]
            self._write(piece)
            count -= len(piece)
