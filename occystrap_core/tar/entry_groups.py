"""Finding the entries of a tar in chunks of any size: a header with the extended headers that belong to it."""
from collections.abc import Generator
from dataclasses import dataclass

from occystrap_core.errors import InvalidImage
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry import GLOBAL_PAX, GNU_LONG_LINK, GNU_LONG_NAME, GNU_SPARSE, PAX, TarEntry
from occystrap_core.tar.header import EXTENDED_CAP, EXTENDED_COUNT
from occystrap_core.tar.pax import parse_records

_END = bytes(fields.BLOCK)
_PLAIN = frozenset(b'01234567')
"""Types whose header stands alone unless an extended one came before."""


@dataclass(slots=True)
class Group:
    """An entry's blocks before its data."""

    entry: TarEntry
    sparse: bytes = b''
    """The further headers that an old GNU sparse entry has."""
    raw: bytes = b''
    """All blocks as they came, unless it is a lone header."""

    @property
    def data(self) -> int:
        """Bytes of data and padding that follow."""
        return 0 if self.entry.type == GLOBAL_PAX else fields.padded(self.entry.size)


class Grouping:
    """Takes chunk after chunk of a tar and gives the entries."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._raw: list[bytes] = []
        self._wanted = 0
        self._parser: Generator[int, bytes, Group | None] | None = None
        self.end = 0
        """Where what was taken last ends in its chunk."""
        self.split = False
        """Whether that began in an earlier chunk."""
        self.ended = False
        """Whether it was the block of zeros that ends the archive."""
        self.behind = 0
        """Bytes that followed that block."""
        self.goes_on = False
        """Whether anything but zeros was among them."""

    def take(self, chunk: memoryview, place: int) -> Group | None:
        """Return the group that begins at `place`, or began in an earlier chunk; raises InvalidImage.

        None when it goes on in the next chunk, or when the end of the archive has come.
        """
        self.split = self._parser is not None
        if not self.split:
            header = bytes(chunk[place:place + fields.BLOCK])
            if len(header) == fields.BLOCK and header[fields.TYPE.start] in _PLAIN:
                fields.check(header)
                self.end = place + fields.BLOCK
                return Group(TarEntry(header, []))
            self._parser = _parser()
            self._wanted = next(self._parser)
        return self._fed(chunk, place)

    def _fed(self, chunk: memoryview, place: int) -> Group | None:
        """Give the parser what it wants as long as the chunk has it."""
        assert self._parser
        while True:
            end = min(place + self._wanted - len(self._held), len(chunk))
            self._held += chunk[place:end]
            self.end = place = end
            if len(self._held) < self._wanted:
                return None
            piece = bytes(self._held)
            self._held.clear()
            self._raw.append(piece)
            try:
                self._wanted = self._parser.send(piece)
            except StopIteration as done:
                return self._finished(done.value)

    def _finished(self, group: Group | None) -> Group | None:
        self._parser = None
        if group is None:
            self.ended = True
        else:
            group.raw = b''.join(self._raw)
        self._raw.clear()
        return group

    def pass_end(self, piece: memoryview) -> None:
        """Take what follows the block of zeros: another one, then anything (POSIX.1-2017, ustar Interchange Format).

        Raises InvalidImage where the archive goes on after a single one: some programs stop there, others do not.
        """
        content = piece.tobytes()
        second = content[:max(0, fields.BLOCK - self.behind)]
        self.behind += len(content)
        if second.strip(b'\0'):
            raise InvalidImage('a tar goes on after a single block of zeros, where programs stop or refuse it')
        self.goes_on = self.goes_on or content.strip(b'\0') != b''

    def require_whole(self) -> None:
        """Raise InvalidImage when the tar ends within a block, or after an extended header without its entry."""
        if self._held or 0 < self.behind < fields.BLOCK:
            raise InvalidImage('a tar is cut off in mid block')
        if self._parser is not None:
            raise InvalidImage('a tar ends after an extended header without its entry')

    @property
    def has_end(self) -> bool:
        """Whether the archive ended as it should, with two blocks of zeros (POSIX.1-2017, ustar Interchange Format)."""
        return self.behind >= fields.BLOCK


def _parser() -> Generator[int, bytes, Group | None]:
    """Yield how many bytes are expected next, and return the group; None for the end of the archive."""
    extended: list[tuple[bytes, bytes]] = []
    while (header := (yield fields.BLOCK)) != _END:
        fields.check(header)
        flag = header[fields.TYPE]
        if flag not in (PAX, GLOBAL_PAX, GNU_LONG_NAME, GNU_LONG_LINK):
            entry = TarEntry(header, extended)
            if extended:
                entry.require_sound()
            return Group(entry, (yield from _sparse_headers()) if _goes_on(flag, header) else b'')
        if len(extended) == EXTENDED_COUNT:
            raise InvalidImage(f'a tar entry has more than {EXTENDED_COUNT} extended headers')
        size = fields.read_size(header)
        if size > EXTENDED_CAP:
            raise InvalidImage(f'a tar has an extended header of {size} bytes, more than the {EXTENDED_CAP} allowed')
        data = (yield fields.padded(size))[:size] if size else b''
        extended.append((header, data))
        if flag == GLOBAL_PAX:
            parse_records(data)
            if len(extended) > 1:
                break
            return Group(TarEntry(header, extended))
    if extended:
        raise InvalidImage('a tar has an extended header without its entry')
    return None


def _goes_on(flag: bytes, header: bytes) -> bool:
    if flag != GNU_SPARSE:
        return False
    if header[fields.MAGIC] != fields.GNU_MAGIC:
        raise InvalidImage("a sparse file in a tar has GNU's type, but not GNU's header")
    return header[fields.GNU_IS_EXTENDED] != b'\0'


def _sparse_headers() -> Generator[int, bytes, bytes]:
    """Return the further headers of an old GNU sparse entry (GNU tar manual, Storing Sparse Files)."""
    blocks = [(yield fields.BLOCK)]
    while blocks[-1][504:505] != b'\0':
        blocks.append((yield fields.BLOCK))
        if len(blocks) * fields.BLOCK > EXTENDED_CAP:
            raise InvalidImage('a tar entry has an endless sparse map')
    return b''.join(blocks)
