"""Rewriting a layer's tar in a stream: headers may change, entries may be left out, every other byte stays."""
from collections.abc import Callable, Iterator, Sequence

from occystrap_core.files.stream import CHUNK, ByteStream, ChunkedSource
from occystrap_core.name_memory import NameMemory
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import GLOBAL_PAX
from occystrap_core.tar.left_out import LeftOut
from occystrap_core.tar.output_digest import OutputDigest
from occystrap_core.tar.scanner import Group, TarScanner

EntryFunction = Callable[[TarEntry], TarEntry | None]
_SMALL = 32 << 10
"""Smaller pieces are combined, larger ones passed on directly."""


class RewrittenTar(ChunkedSource):
    """A tar with every entry passed through functions, all of them in one pass.

    Headers that keep their length are changed in place, in the buffers of the source.
    """

    def __init__(self, source: ByteStream, functions: Sequence[EntryFunction], directory: str | None = None,
                 names: NameMemory | None = None) -> None:
        """`directory` is for entries that are left out, in case a hard link needs them; `names` is the memory for their
        names."""
        super().__init__()
        self._source, self._functions = source, functions
        self._left_out = LeftOut(directory, (names or NameMemory()).share())
        self.scanner = TarScanner()
        self._staying = True
        self._more: Iterator[memoryview] | None = None
        self.digest = OutputDigest(source)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the new tar; raises InvalidImage for a malformed tar, and whatever the source raises."""
        buffer = memoryview(bytearray(CHUNK))
        filled = 0
        for piece in self._pieces():
            size = len(piece)
            if filled and filled + size > CHUNK:
                yield buffer[:filled]
                filled = 0
            if size >= _SMALL:
                if filled:
                    yield buffer[:filled]
                    filled = 0
                yield memoryview(piece)
            else:
                buffer[filled:filled + size] = piece
                filled += size
        if filled:
            yield buffer[:filled]

    def close(self) -> None:
        """Close the source."""
        self._left_out.close()
        self._source.close()

    def _pieces(self) -> Iterator[bytes | memoryview]:
        for chunk in self._source.chunks():
            for piece in self._rewritten(chunk):
                self.digest.add(piece)
                yield piece
            self.digest.chunk_ended()
        self.scanner.require_whole()

    def _rewritten(self, chunk: memoryview) -> Iterator[bytes | memoryview]:
        """Yield the output for a chunk; unchanged bytes, and headers changed in place, in pieces as large as possible.
        """
        scanner, start = self.scanner, 0
        scanner.place = 0
        while scanner.place < len(chunk):
            if not self._staying and scanner.left:
                start = self._leave_out_data(chunk)
                continue
            group = scanner.step(chunk)
            begin, end = scanner.begin, scanner.place
            if begin == end:
                break
            if group and not self._stays_unchanged(group):
                if not self.digest.changed:
                    yield chunk[start:begin]
                    self.digest.differ(chunk[:begin], scanner.split)
                    start = begin
                if not self._changed_in_place(group, chunk):
                    yield chunk[start:begin]
                    yield from self._new_headers(group)
                    start = end
            elif scanner.split or not group:
                yield chunk[start:begin]
                yield from self._untouched(group, chunk)
                start = end
        yield chunk[start:]

    def _leave_out_data(self, chunk: memoryview) -> int:
        """Skip data of an entry that is left out; return where in the chunk they end."""
        scanner = self.scanner
        data = chunk[scanner.place:scanner.place + scanner.left]
        self._left_out.more(data)
        scanner.place += len(data)
        scanner.left -= len(data)
        return scanner.place

    def _untouched(self, group: Group | None, chunk: memoryview) -> Iterator[bytes]:
        """Yield unchanged headers that began in another chunk, or the block that ends the archive; hold incomplete
        ones."""
        if group:
            yield group.raw
        elif self.scanner.ended:
            yield bytes(fields.BLOCK)
        elif not self.scanner.split:
            self.digest.hold(chunk[:self.scanner.begin])

    def _stays_unchanged(self, group: Group) -> bool:
        """Pass an entry through the functions; return whether its headers stay unchanged."""
        self._more = None
        if not self._passes(group):
            return False
        self._more = self._left_out.passes(group.entry)
        return self._more is None and not group.entry.changed

    def _changed_in_place(self, group: Group, chunk: memoryview) -> bool:
        """Write changed headers over the old ones; return whether that was possible."""
        if not self._staying or self._more is not None or self.scanner.split or chunk.readonly:
            return False
        raw = _headers(group.entry)
        begin = self.scanner.begin
        end = begin + len(raw)
        if end + len(group.sparse) != self.scanner.place:
            return False
        chunk[begin:end] = raw
        return True

    def _passes(self, group: Group) -> bool:
        """Pass an entry through the functions; return whether it stays. A global header always stays."""
        entry = group.entry
        for function in self._functions:
            passed = function(entry)
            if passed is None and entry.type != GLOBAL_PAX:
                self._staying = False
                self._left_out.add(entry, group.sparse)
                return False
            entry = passed or entry
        if entry is not group.entry:
            group.entry, entry.changed = entry, True
        self._staying = True
        return True

    def _new_headers(self, group: Group) -> Iterator[bytes | memoryview]:
        """Yield the new headers of an entry that stays, and the data of a link that became a file."""
        if self._staying:
            yield _headers(group.entry)
            yield group.sparse
            yield from self._more or ()


def _headers(entry: TarEntry) -> bytes:
    """Return the blocks before an entry's data; a global header consists of its extended header."""
    return entry.raw[:-fields.BLOCK] if entry.type == GLOBAL_PAX else entry.raw
