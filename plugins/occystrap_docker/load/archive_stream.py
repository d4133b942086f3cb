"""A docker archive for `docker load`, written as a stream without a file."""
from collections.abc import Callable, Iterable

from occystrap_core.files import CHUNK
from occystrap_core.tar import TAR_END, file_header, padded_size

_ZEROS = bytes(CHUNK)


class ArchiveStream:
    """Writes regular files, one after the other, as a tar (POSIX ustar; sizes from 8 GiB on as GNU tar has them)."""

    def __init__(self, write: Callable[[bytes | memoryview], None]) -> None:
        """`write` gets each piece of the archive in order, and must not use it after it returns."""
        self._write = write

    def add(self, name: str, size: int, chunks: Iterable[bytes | memoryview]) -> int:
        """Write a file of `size` bytes, and return how many bytes `chunks` had, which are read to their end.

        If that is not `size`, the file is cut or filled up with zeros, so that the archive stays well-formed.
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
