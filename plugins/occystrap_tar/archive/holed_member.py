"""Reading a member of an archive that has holes."""
import os

from occystrap_core import InvalidImage
from occystrap_core.tar import SparseContent

_ZEROS = bytes(64 << 10)


class HoledReader:
    """The bytes of a member that is a sparse file; holes are read as zeros."""

    def __init__(self, path: str, offset: int, content: SparseContent, start: int, what: str) -> None:
        """`offset` is that of its data in the archive. Raises OSError if the archive cannot be opened."""
        self._what, self._size = what, content.size
        self._file = open(path, 'rb', buffering=0)
        self._pieces = iter([*content.extents, (content.size, 0)])
        self._data, self._place = offset, start
        self._piece, self._end = next(self._pieces)
        self._end += self._piece

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; returns the number of bytes, 0 at the member's end; raises InvalidImage."""
        while self._place >= self._end and self._place < self._size:
            self._data += self._end - self._piece
            self._piece, length = next(self._pieces)
            self._end = self._piece + length
        if self._place < self._piece:
            count = min(len(buffer), len(_ZEROS), self._piece - self._place)
            buffer[:count] = _ZEROS[:count]
        else:
            count = self._from_file(buffer[:self._end - self._place])
        self._place += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _from_file(self, buffer: memoryview) -> int:
        try:
            return os.preadv(self._file.fileno(), [buffer], self._data + self._place - self._piece) if buffer else 0
        except OSError as error:
            raise InvalidImage(f'cannot read {self._what}: {error.strerror}') from None
