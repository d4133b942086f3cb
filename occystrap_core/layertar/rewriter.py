"""Rewriting a layer's tar as it streams by: headers may change, entries may go, every other byte stays."""
from collections.abc import Callable, Iterator, Sequence

from occystrap_core.errors import InvalidImage
from occystrap_core.image.stream import CHUNK, ByteStream, ChunkedSource
from occystrap_core.layertar import header as fields
from occystrap_core.layertar.entry import GLOBAL_PAX, GNU_LONG_LINK, GNU_LONG_NAME, GNU_SPARSE, PAX, TarEntry
from occystrap_core.layertar.left_out import LeftOut

EntryFunction = Callable[[TarEntry], TarEntry | None]
_BEFORE = (PAX, GNU_LONG_NAME, GNU_LONG_LINK)
_EXTENDED_CAP = 1 << 20
_END = bytes(fields.BLOCK)


class RewrittenTar(ChunkedSource):
    """A tar with every entry passed through functions, all of them in one pass."""

    def __init__(self, source: ByteStream, functions: Sequence[EntryFunction], folder: str | None = None,
                 ) -> None:
        """`folder` is for what is left out, in case that a hard link wants it."""
        super().__init__()
        self._source, self._functions = source, functions
        self._left_out = LeftOut(folder)
        self._reader = _Reader(source)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the new tar; raises InvalidImage for what is no tar, and whatever the source raises."""
        buffer = bytearray(CHUNK)
        view, filled = memoryview(buffer), 0
        for piece in self._rewritten():
            start = 0
            while start < len(piece):
                count = min(len(piece) - start, CHUNK - filled)
                buffer[filled:filled + count] = piece[start:start + count]
                filled, start = filled + count, start + count
                if filled == CHUNK:
                    yield view
                    filled = 0
        if filled:
            yield view[:filled]

    def close(self) -> None:
        """Close the source."""
        self._left_out.close()
        self._source.close()

    def _rewritten(self) -> Iterator[bytes | memoryview]:
        reader = self._reader
        extended: list[tuple[bytes, bytes]] = []
        while (header := reader.block()) is not None:
            if header == _END:
                yield from self._rest(header, extended)
                return
            fields.check(header)
            flag = header[fields.TYPE]
            if flag in _BEFORE:
                extended.append((header, self._extended_data(header)))
            elif flag == GLOBAL_PAX:
                yield self._global(header, self._extended_data(header))
            else:
                yield from self._entry(header, extended)
                extended = []
        yield from self._rest(b'', extended)

    def _entry(self, header: bytes, extended: list[tuple[bytes, bytes]]) -> Iterator[bytes | memoryview]:
        """Yield one entry with its data, or nothing."""
        original = TarEntry(header, extended)
        entry: TarEntry | None = original
        data = self._reader.data(fields.padded(original.size))
        sparse = self._sparse_headers(header)
        for function in self._functions:
            assert entry
            entry = function(entry)
            if entry is None:
                self._left_out.add(original, sparse, data)
                return
        assert entry
        more = self._left_out.passes(entry)
        yield entry.raw
        yield sparse
        yield from data
        yield from more

    def _sparse_headers(self, header: bytes) -> bytes:
        """Return the further headers that an old GNU sparse entry has (GNU tar manual, Storing Sparse Files)."""
        if header[fields.TYPE] != GNU_SPARSE or header[fields.GNU_IS_EXTENDED] in (b'\0', b'0'):
            return b''
        blocks = [self._reader.whole_block()]
        while blocks[-1][504:505] not in (b'\0', b'0'):
            blocks.append(self._reader.whole_block())
            if len(blocks) * fields.BLOCK > _EXTENDED_CAP:
                raise InvalidImage('a tar entry has an endless sparse map')
        return b''.join(blocks)

    def _global(self, header: bytes, data: bytes) -> bytes:
        """Return a global header; filters see it as an entry of its own, which they may change but not leave out."""
        entry = TarEntry(header, [(header, data)])
        for function in self._functions:
            entry = function(entry) or entry
        return entry.raw[:-fields.BLOCK]

    def _extended_data(self, header: bytes) -> bytes:
        size = fields.read_size(header)
        if size > _EXTENDED_CAP:
            raise InvalidImage(f'a tar has an extended header of {size} bytes, more than the {_EXTENDED_CAP} allowed')
        return b''.join(bytes(piece) for piece in self._reader.data(fields.padded(size)))[:size]

    def _rest(self, header: bytes, extended: list[tuple[bytes, bytes]]) -> Iterator[bytes | memoryview]:
        """Yield the end of the archive and whatever follows it, as it is."""
        if extended:
            raise InvalidImage('a tar ends after an extended header without its entry')
        yield header
        yield from self._reader.remaining()


class _Reader:
    """Takes blocks and data from a stream of chunks, without copying more than the headers."""

    def __init__(self, source: ByteStream) -> None:
        self._chunks = source.chunks()
        self._chunk = memoryview(b'')

    def block(self) -> bytes | None:
        """Return the next 512 bytes, None at the end; raises InvalidImage for a piece of a block."""
        if len(self._chunk) >= fields.BLOCK:
            block, self._chunk = bytes(self._chunk[:fields.BLOCK]), self._chunk[fields.BLOCK:]
            return block
        block = b''.join(bytes(piece) for piece in self._pieces(fields.BLOCK))
        if block and len(block) < fields.BLOCK:
            raise InvalidImage('a tar is cut off in mid block')
        return block or None

    def whole_block(self) -> bytes:
        """Return the next block; raises InvalidImage at the end."""
        block = self.block()
        if block is None:
            raise InvalidImage('a tar is cut off')
        return block

    def data(self, count: int) -> Iterator[memoryview]:
        """Yield exactly `count` bytes; raises InvalidImage when there are fewer."""
        got = 0
        for piece in self._pieces(count):
            got += len(piece)
            yield piece
        if got < count:
            raise InvalidImage('a tar is cut off in mid entry')

    def remaining(self) -> Iterator[memoryview]:
        """Yield everything that is left."""
        yield self._chunk
        self._chunk = memoryview(b'')
        yield from self._chunks

    def _pieces(self, count: int) -> Iterator[memoryview]:
        while count:
            if not self._chunk:
                following = next(self._chunks, None)
                if following is None:
                    return
                self._chunk = following
            piece = self._chunk[:count]
            self._chunk = self._chunk[len(piece):]
            count -= len(piece)
            yield piece
