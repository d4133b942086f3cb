"""Reading the entries of a tar that lies in a file, without what lies between them."""
import errno
import os
from collections.abc import Iterator

from occystrap_core.layertar.reader import TarReader

_MOST, _LEAST = 256 << 10, 4 << 10


class TarFileReader(TarReader):
    """Gives the entries of a tar in an open file; data that nobody reads are not read from the file either."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is a regular file's, and is read from its beginning on, wherever it stands."""
        self._blocks = _Blocks(descriptor)
        super().__init__(self._blocks, self._blocks.skip)

    @property
    def offset(self) -> int:
        """Where in the file the next byte of the current entry's data lies."""
        return self._blocks.place - self.unread

    def _pass_end(self) -> None:
        """Read on to the end of the file, over its holes."""
        self._blocks.passes_holes = True
        super()._pass_end()


class _Blocks(Iterator[memoryview]):
    """The file in pieces: small ones where much is skipped, larger ones where one follows the other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = _LEAST
        self.place = 0
        self.passes_holes = False

    def __next__(self) -> memoryview:
        if self.passes_holes:
            self._pass_hole()
        piece = os.pread(self._descriptor, self._size, self.place)
        if not piece:
            raise StopIteration
        self.place += len(piece)
        self._size = min(2 * self._size, _MOST)
        return memoryview(piece)

    def skip(self, count: int) -> None:
        """Go on `count` bytes later."""
        self.place += count
        self._size = _LEAST

    def _pass_hole(self) -> None:
        """Go on where the next data are."""
        try:
            data = os.lseek(self._descriptor, self.place, os.SEEK_DATA)
        except OSError as error:
            data = os.lseek(self._descriptor, 0, os.SEEK_END) if error.errno == errno.ENXIO else 0  # there are none
        self.place = max(self.place, data)
