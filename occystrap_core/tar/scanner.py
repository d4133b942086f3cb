"""Finding the entries of a tar in chunks of any size: each header with the extended headers before it."""
from collections.abc import Generator

from occystrap_core.errors import InvalidImage
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import GLOBAL_PAX, GNU_LONG_LINK, GNU_LONG_NAME, GNU_SPARSE, PAX
from occystrap_core.tar.header import EXTENDED_CAP, EXTENDED_COUNT
from occystrap_core.tar.pax import parse_records

_END = bytes(fields.BLOCK)
_TYPE = fields.TYPE.start
_PLAIN = frozenset(b'01234567')
"""Types of entries with a single header, unless an extended header precedes it."""
_PAX = ord(PAX)


class Group:
    """The blocks of an entry before its data."""

    __slots__ = ('entry', 'sparse', 'raw')

    def __init__(self, entry: TarEntry, sparse: bytes = b'', raw: bytes = b'') -> None:
        """`sparse`: the further headers of an old GNU sparse entry. `raw`: all blocks, unchanged; empty for a single
        header."""
        self.entry, self.sparse, self.raw = entry, sparse, raw


class TarScanner:
    """Steps over the headers and data of a tar that is given in chunks of any size."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._raw: list[bytes] = []
        self._needed = 0
        self._parser: Generator[int, bytes, Group | None] | None = None
        self._behind = 0
        """Bytes after the block of zeros that ends the archive."""
        self.place = 0
        """Where in the current chunk the next step begins; set it to 0 for each new chunk."""
        self.begin = 0
        """Where in the current chunk the headers of the last step begin; equal to `place` if there were none."""
        self.left = 0
        """Unread bytes of the current entry's data and padding."""
        self.padding = 0
        """Bytes between the current entry's data and the next header."""
        self.split = False
        """Whether the headers of the last step began in an earlier chunk."""
        self.ended = False
        """Whether the block of zeros that ends the archive was found."""
        self.has_trailing_data = False
        """Whether anything but zeros follows that block."""

    def step(self, chunk: memoryview) -> Group | None:
        """Skip the rest of the data, then return the headers that follow; raises InvalidImage.

        None if the headers continue in the next chunk, if the chunk ends before them, or after the end of the archive.
        """
        self.begin = place = self.place + self.left
        end = place + fields.BLOCK
        if end <= len(chunk) and self._parser is None and not self.ended:
            flag = chunk[place + _TYPE]
            group: Group | None = None
            if flag in _PLAIN:
                header = bytes(chunk[place:end])
                fields.check(header)
                group = Group(TarEntry(header, []))
            elif flag == _PAX:
                group = _with_records(chunk, place)
            if group:
                self.split, self.place = False, place + (len(group.raw) or fields.BLOCK)
                self._enter(group.entry.size)
                return group
        self._pass_data(chunk)
        return None if self.place == len(chunk) else self._parsed(chunk)

    def _enter(self, size: int) -> None:
        """Go to the data of an entry, which has this size in bytes."""
        self.padding = -size % fields.BLOCK
        self.left = size + self.padding

    def _pass_data(self, chunk: memoryview) -> None:
        """Skip the rest of the data, and everything after the end of the archive."""
        passed = min(self.left, len(chunk) - self.place)
        self.place += passed
        self.left -= passed
        if self.ended and not self.left:
            self._check_end(chunk[self.place:])
            self.place = len(chunk)
        self.begin = self.place

    def _parsed(self, chunk: memoryview) -> Group | None:
        """Feed the parser from the chunk."""
        self.split = self._parser is not None
        if not self._parser:
            self._parser = _parser()
            self._needed = next(self._parser)
        while True:
            end = min(self.place + self._needed - len(self._held), len(chunk))
            self._held += chunk[self.place:end]
            self.place = end
            if len(self._held) < self._needed:
                return None
            piece = bytes(self._held)
            self._held.clear()
            self._raw.append(piece)
            try:
                self._needed = self._parser.send(piece)
            except StopIteration as done:
                return self._finished(done.value)

    def _finished(self, group: Group | None) -> Group | None:
        self._parser = None
        if group is None:
            self.ended = True
        else:
            group.raw = b''.join(self._raw)
            self._enter(0 if group.entry.type == GLOBAL_PAX else group.entry.size)
        self._raw.clear()
        return group

    def _check_end(self, piece: memoryview) -> None:
        """Take what follows the block of zeros: a second one, then anything (POSIX.1-2017, ustar Interchange Format).

        Raises InvalidImage if the archive continues after a single one: some programs stop there, others do not.
        """
        content = piece.tobytes()
        second = content[:max(0, fields.BLOCK - self._behind)]
        self._behind += len(content)
        if second.strip(b'\0'):
            raise InvalidImage('a tar continues after a single block of zeros, where programs stop or refuse it')
        self.has_trailing_data = self.has_trailing_data or content.strip(b'\0') != b''

    def require_whole(self) -> None:
        """Raise InvalidImage if the tar ends within a block or data, or after an extended header without its entry.

        The last entry may lack its padding: some programs never end a tar (umoci insert), and readers in Go take it.
        """
        if self.left > self.padding:
            raise InvalidImage('a tar is cut off within an entry')
        if self._held or 0 < self._behind < fields.BLOCK:
            raise InvalidImage('a tar is cut off within a block')
        if self._parser is not None:
            raise InvalidImage('a tar ends after an extended header without its entry')

    @property
    def has_end(self) -> bool:
        """Whether the archive ended properly, with two blocks of zeros (POSIX.1-2017, ustar Interchange Format)."""
        return self._behind >= fields.BLOCK


def _with_records(chunk: memoryview, place: int) -> Group | None:
    """Return the usual entry with PAX records, one extended header and its own; None if it is another or not whole."""
    begin = place + fields.BLOCK
    extended = bytes(chunk[place:begin])
    fields.check(extended)
    size = fields.read_size(extended)
    start = begin + fields.padded(size)
    end = start + fields.BLOCK
    if size > EXTENDED_CAP or end > len(chunk) or chunk[start + _TYPE] not in _PLAIN:
        return None
    header = bytes(chunk[start:end])
    fields.check(header)
    entry = TarEntry(header, [(extended, bytes(chunk[begin:begin + size]))])
    entry.require_sound()
    return Group(entry, raw=bytes(chunk[place:end]))


def _parser() -> Generator[int, bytes, Group | None]:
    """Yield how many bytes are needed next, and return the group; None for the end of the archive."""
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
