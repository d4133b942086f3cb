"""Reading a tar entry by entry, from a stream, or from a file without reading skipped data."""
import errno
import os
from collections.abc import Callable, Iterator

from occystrap_core.errors import InvalidImage
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import FILE, GLOBAL_PAX
from occystrap_core.tar.scanner import Group, TarScanner
from occystrap_core.tar.sparse import SparseContent, extents


class TarReader:
    """Yields the entries of a tar; read the data of each before asking for the next.

    Global PAX headers are ignored, as in Docker and containerd. Reading all entries reads the chunks to their end,
    which checks them.
    """

    def __init__(self, chunks: Iterator[memoryview], skip: Callable[[int], None] | None = None) -> None:
        """`chunks` are the tar, each valid until the next is requested, such as `ByteStream.chunks()`.

        `skip`, if given, makes the next chunk begin that number of bytes later.
        """
        self._chunks, self._skip_chunks = chunks, skip
        self._chunk = memoryview(b'')
        self._scanner = TarScanner()
        self._group: Group | None = None

    @property
    def ended(self) -> bool:
        """Whether the block of zeros that ends the archive was read."""
        return self._scanner.ended

    @property
    def has_end(self) -> bool:
        """Whether the archive ended properly, with two blocks of zeros."""
        return self._scanner.has_end

    @property
    def has_trailing_data(self) -> bool:
        """Whether anything but zeros follows the end of the archive."""
        return self._scanner.has_trailing_data

    @property
    def unread(self) -> int:
        """The number of unread bytes in the current chunk."""
        return len(self._chunk) - self._scanner.place

    @property
    def headers(self) -> bytes:
        """All blocks of the current entry before its data, unchanged."""
        assert self._group
        return self._group.raw or self._group.entry.header

    def entries(self) -> Iterator[TarEntry]:
        """Yield the entries; raises InvalidImage for a malformed tar, and whatever the stream raises."""
        scanner = self._scanner
        while scanner.place < len(self._chunk) or self._next_chunk():
            group = scanner.step(self._chunk)
            if group is None:
                continue
            entry = group.entry
            if entry.type != GLOBAL_PAX:
                self._group = group
                yield entry
        scanner.require_whole()

    def data(self) -> Iterator[memoryview]:
        """Yield the rest of the current entry's data, each piece valid until the next is requested.

        Raises InvalidImage if the tar ends before, and whatever the stream raises.
        """
        scanner = self._scanner
        while (data := scanner.left - scanner.padding) > 0:
            yield self._piece(data)

    def peek(self, count: int) -> bytes:
        """Return up to `count` bytes of the current entry's data without consuming them; raises as `data` does."""
        count = min(count, self._data)
        while self.unread < count:
            begun = bytes(self._chunk[self._scanner.place:])
            if not self._advance():
                raise InvalidImage('a tar is cut off within an entry')
            self._chunk = memoryview(begun + bytes(self._chunk))
        return bytes(self._chunk[self._scanner.place:self._scanner.place + count])

    def whole(self) -> memoryview | None:
        """Return all data of the current entry if they are in a single piece and not of a sparse file; else None."""
        size = self._data
        assert self._group
        if self.unread < size or not self._group.entry.is_bare or self._group.entry.type != FILE:
            return None
        return self._piece(size) if size else memoryview(b'')

    def sparse(self) -> SparseContent | None:
        """Return the layout of the current entry if it is a sparse file, after reading a map in its data; else None.

        Raises InvalidImage for a malformed map.
        """
        assert self._group
        if self._group.entry.is_bare and self._group.entry.type == FILE:
            return None
        return extents(self._group.entry, self._group.sparse, self._data, self._take)

    def _take(self, count: int) -> bytes:
        """Return `count` bytes of the current entry's data; raises InvalidImage if it has fewer."""
        if count > self._data:
            raise InvalidImage('a sparse file in a tar is cut off within its map')
        pieces = []
        while count:
            piece = self._piece(count)
            pieces.append(bytes(piece))
            count -= len(piece)
        return b''.join(pieces)

    @property
    def _data(self) -> int:
        """The number of unread bytes of the current entry's data."""
        return max(0, self._scanner.left - self._scanner.padding)

    def _piece(self, most: int) -> memoryview:
        """Return the next data, at most `most` bytes; raises InvalidImage at the end of the tar."""
        scanner = self._scanner
        if scanner.place == len(self._chunk) and not self._advance():
            raise InvalidImage('a tar is cut off within an entry')
        piece = self._chunk[scanner.place:scanner.place + most]
        scanner.place += len(piece)
        scanner.left -= len(piece)
        return piece

    def _next_chunk(self) -> bool:
        """Go to the chunk that may have the next header; return whether there is one."""
        if self._skip_chunks and self._scanner.left:
            self._skip_chunks(self._scanner.left)
            self._scanner.left = 0
        return self._advance()

    def _advance(self) -> bool:
        chunk = next(self._chunks, None)
        self._chunk, self._scanner.place = chunk if chunk is not None else memoryview(b''), 0
        return chunk is not None


_MOST, _LEAST = 256 << 10, 4 << 10


class TarFileReader(TarReader):
    """Yields the entries of a tar in an open file; data that is not read is not read from the file either."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is of a regular file, which is read from its beginning, whatever its offset."""
        self._blocks = _Blocks(descriptor)
        super().__init__(self._blocks, self._blocks.skip)

    @property
    def offset(self) -> int:
        """The offset in the file of the next byte of the current entry's data."""
        return self._blocks.place - self.unread

    def _next_chunk(self) -> bool:
        """Skip the holes behind the end of the archive."""
        self._blocks.passes_holes = self.ended
        return super()._next_chunk()


class _Blocks(Iterator[memoryview]):
    """The file in pieces: small ones after a skip, larger ones in sequential reading."""

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
        """Continue `count` bytes later."""
        self.place += count
        self._size = _LEAST

    def _pass_hole(self) -> None:
        """Continue at the next data."""
        try:
            data = os.lseek(self._descriptor, self.place, os.SEEK_DATA)
        except OSError as error:
            data = os.lseek(self._descriptor, 0, os.SEEK_END) if error.errno == errno.ENXIO else 0  # there are no more
        self.place = max(self.place, data)
