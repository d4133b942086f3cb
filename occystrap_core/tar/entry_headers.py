"""What the headers of a tar entry say: its own header, and the extended headers before it."""
import os
from typing import Self

from occystrap_core.errors import InvalidImage
from occystrap_core.tar import header as fields
from occystrap_core.tar.header import NAME_CAP, NUMBER_CAP
from occystrap_core.tar.pax import Records, counting_records, parse_records, record_number

FILE, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO = b'0', b'1', b'2', b'3', b'4', b'5', b'6'
PAX, GLOBAL_PAX, GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = b'x', b'g', b'L', b'K', b'S'
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO))
_SPARSE_MARKS = (b'GNU.sparse.major', b'GNU.sparse.map', b'GNU.sparse.offset', b'GNU.sparse.numbytes')


class EntryHeaders:
    """The header of one entry and the extended headers before it, in the order of Go's archive/tar."""

    def __init__(self, raw_header: bytes, extended: list[tuple[bytes, bytes]]) -> None:
        """`extended` are the (header, data) pairs of the PAX and GNU blocks before the header."""
        flag = raw_header[fields.TYPE]
        self.type = FILE if flag == b'\0' else flag
        """The type flag, `0` for the old NUL."""
        self._header: bytes | bytearray = raw_header
        self._extended = extended
        self._pax: dict[bytes, bytes] | None = None
        self._parsed: tuple[bytes, Records] = b'', []
        """The data of the extended header that was read last, and its records."""
        self.changed = False

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Return the entry with these blocks before its data; raises InvalidImage for malformed ones."""
        extended, place = [], 0
        while len(raw) - place > fields.BLOCK:
            data = place + fields.BLOCK
            count = fields.read_size(raw[place:data])
            extended.append((raw[place:data], raw[data:data + count]))
            place = data + fields.padded(count)
        return cls(raw[place:], extended)

    @property
    def name(self) -> bytes:
        """The path, in the order of Go's archive/tar: the GNU name of a sparse file, the GNU long name, the PAX record,
        the header."""
        if self._extended:
            long = self._long(b'path', GNU_LONG_NAME)
            if b'GNU.sparse.name' in self.pax and self.is_pax_sparse:
                long = self.pax[b'GNU.sparse.name']
            if long is not None:
                return long
        name = fields.text(self._header[fields.NAME])
        if not self._header[fields.PREFIX.start]:
            return name
        prefix = fields.prefix(self._header)
        return prefix + b'/' + name if prefix else name

    @property
    def linkname(self) -> bytes:
        """The target of a link."""
        long = self._long(b'linkpath', GNU_LONG_LINK)
        return fields.text(self._header[fields.LINKNAME]) if long is None else long

    @property
    def size(self) -> int:
        """Bytes of data in the archive: 0 for links, devices and directories, whatever their header says."""
        if self.type in _WITHOUT_DATA:
            return 0
        if self._extended and b'size' in self.pax:
            return fields.checked_size(record_number(self.pax[b'size'], 'size'))
        return fields.read_size(bytes(self._header))

    @property
    def is_pax_sparse(self) -> bool:
        """Whether PAX records make it a sparse file, in GNU's format 0.0, 0.1 or 1.0."""
        return bool(self._extended) and not self.pax.keys().isdisjoint(_SPARSE_MARKS)

    def require_sound(self) -> None:
        """Raise InvalidImage for values that extended headers must not have: names that are too long, data of a type
        without data."""
        for _, data in self._extended:
            if len(data) > NAME_CAP:
                self._require_short_names()
        if self.type in _WITHOUT_DATA and self.is_pax_sparse:
            raise InvalidImage(f'{os.fsdecode(self.name)}: a sparse file in a tar has type {os.fsdecode(self.type)}')

    def _require_short_names(self) -> None:
        for what, name in (('name', self.name), ('target of a link', self.linkname)):
            if len(name) > NAME_CAP:
                raise InvalidImage(f'a tar entry has a {what} of {len(name)} bytes, more than the {NAME_CAP} that '
                                   f'Linux allows: {os.fsdecode(name[:60])}…', 'path-too-long')

    @property
    def is_bare(self) -> bool:
        """Whether the entry is one header, without extended headers."""
        return not self._extended

    @property
    def is_ambiguous(self) -> bool:
        """Whether extended headers give a value twice, so that programs differ in which one they use."""
        flags = [raw[fields.TYPE] for raw, _ in self._extended]
        names = ((GNU_LONG_NAME, b'path'), (GNU_LONG_LINK, b'linkpath'))
        return len(set(flags)) < len(flags) or any(flag in flags and key in self.pax for flag, key in names)

    @property
    def given_size(self) -> int:
        """The size in bytes in the header itself, even if another one applies; may be negative."""
        return fields.read_number(bytes(self._header[fields.SIZE]), 'size')

    @property
    def records(self) -> Records:
        """All PAX records, in order, including repeated and empty ones."""
        return self._own_records()

    @property
    def mode(self) -> int:
        """The permission bits."""
        return fields.read_number(bytes(self._header[fields.MODE]), 'mode')

    @property
    def uid(self) -> int:
        """The owner's user id."""
        return self._number(b'uid', fields.UID)

    @property
    def gid(self) -> int:
        """The owner's group id."""
        return self._number(b'gid', fields.GID)

    @property
    def mtime(self) -> float:
        """The modification time, in seconds since 1970."""
        return self.mtime_ns / 10 ** 9

    @property
    def mtime_ns(self) -> int:
        """The modification time, in nanoseconds since 1970; raises InvalidImage for a malformed record."""
        record = self.pax.get(b'mtime')
        if record is None:
            return fields.read_number(bytes(self._header[fields.MTIME]), 'mtime') * 10 ** 9
        sign = -1 if record.startswith(b'-') else 1
        seconds, _, fraction = record.removeprefix(b'-').partition(b'.')
        if not seconds.isdigit() or not (fraction or b'0').isdigit() or len(seconds.lstrip(b'0')) > NUMBER_CAP:
            raise InvalidImage(f'a tar entry has the malformed mtime {record[:40]!r}', 'pax-value')
        whole = fields.in_64_bits(sign * int(seconds[-NUMBER_CAP:]), 'mtime')
        return whole * 10 ** 9 + sign * int(fraction[:9].ljust(9, b'0'))

    @property
    def attributes(self) -> tuple[int, int, int, int]:
        """Mode, uid, gid, and mtime in nanoseconds; faster than the properties. Raises InvalidImage."""
        if self._extended:
            return self.mode, self.uid, self.gid, self.mtime_ns
        mode, uid, gid, mtime = fields.read_attributes(bytes(self._header))
        return mode, uid, gid, mtime * 10 ** 9

    @property
    def device(self) -> tuple[int, int]:
        """Major and minor number of a device; 0 in V7 headers, which have no field for them."""
        return fields.read_device(bytes(self._header))

    def require_numbers(self) -> None:
        """Raise InvalidImage for a malformed number in any of the headers, also where it is not needed."""
        for header in (*(raw for raw, _ in self._extended), bytes(self._header)):
            fields.read_attributes(header)
            fields.read_device(header)

    @property
    def header(self) -> bytes:
        """The entry's own 512-byte header."""
        return bytes(self._header)

    @property
    def pax(self) -> dict[bytes, bytes]:
        """The effective PAX records, such as extended attributes: of repeated ones the last."""
        if self._pax is None:
            self._pax = counting_records(self._own_records()) if self._extended else {}
        return self._pax

    def _own_records(self) -> Records:
        """Return the PAX records of this entry, in order: of several extended headers the last one's."""
        last = b''
        for raw, data in self._extended:
            if raw[fields.TYPE] == PAX:
                last = data
        return list(self._records_in(last))

    def _records_in(self, data: bytes) -> Records:
        """Return the records in an extended header's data; do not change the list."""
        if self._parsed[0] is not data:
            self._parsed = data, parse_records(data)
        return self._parsed[1]

    def _number(self, record: bytes, field: slice) -> int:
        if self._extended and (value := self.pax.get(record)) is not None:
            sign = -1 if value.startswith(b'-') else 1  # libarchive writes nobody's ID on macOS as -2; Go reads it
            return sign * record_number(value.removeprefix(b'-'), record.decode())
        return fields.read_number(bytes(self._header[field]), record.decode())

    def _long(self, record: bytes, flag: bytes) -> bytes | None:
        """Return a name from the extended headers: GNU's before that of PAX, as in Go's archive/tar."""
        last = b''
        for raw, data in self._extended:
            if raw[fields.TYPE] == flag:
                last = fields.text(data)
        return last or self.pax.get(record)
