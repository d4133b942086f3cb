"""Tar entries as filters see them: a header and what precedes it, kept byte for byte unless changed."""
from functools import cached_property

from occystrap_core.layertar import header as fields
from occystrap_core.layertar.pax import parse_records, write_records

PAX, GLOBAL_PAX, GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE = b'x', b'g', b'L', b'K', b'S'
_TIMES = (b'mtime', b'atime', b'ctime', b'LIBARCHIVE.creationtime')


class TarEntry:
    """One entry: its own header and the extended headers before it. Names are bytes, as tars have them."""

    def __init__(self, raw_header: bytes, extended: list[tuple[bytes, bytes]]) -> None:
        """`extended` are the (header, data) pairs of the PAX and GNU blocks that belong to this entry."""
        self._header = bytearray(raw_header)
        self._extended = extended
        self.changed = False

    @property
    def type(self) -> bytes:
        """The type flag, `0` for the old NUL."""
        flag = bytes(self._header[fields.TYPE])
        return b'0' if flag == b'\0' else flag

    @property
    def name(self) -> bytes:
        """The path, by PAX record, GNU long name, or header with prefix."""
        long = self._long(b'path', GNU_LONG_NAME)
        if long is not None:
            return long
        prefix = b'' if self._is_gnu else fields.text(self._header[fields.PREFIX])
        name = fields.text(self._header[fields.NAME])
        return prefix + b'/' + name if prefix and self._header[fields.MAGIC][:5] == b'ustar' else name

    @property
    def linkname(self) -> bytes:
        """The target of a link."""
        long = self._long(b'linkpath', GNU_LONG_LINK)
        return fields.text(self._header[fields.LINKNAME]) if long is None else long

    @property
    def size(self) -> int:
        """Bytes of data that follow in the archive."""
        if b'size' in self.pax and self.pax[b'size'].isdigit():
            return fields.checked_size(int(self.pax[b'size']))
        return fields.read_size(bytes(self._header))

    @property
    def mode(self) -> int:
        """The permission bits."""
        return fields.read_number(bytes(self._header[fields.MODE]), 'mode')

    @property
    def uid(self) -> int:
        """The owner's number."""
        return int(self.pax.get(b'uid', b'')) if self.pax.get(b'uid', b'').isdigit() else fields.read_number(
            bytes(self._header[fields.UID]), 'uid')

    @property
    def gid(self) -> int:
        """The group's number."""
        return int(self.pax.get(b'gid', b'')) if self.pax.get(b'gid', b'').isdigit() else fields.read_number(
            bytes(self._header[fields.GID]), 'gid')

    @property
    def mtime(self) -> float:
        """The time of last change, in seconds since 1970."""
        if b'mtime' in self.pax:
            return float(self.pax[b'mtime'])
        return fields.read_number(bytes(self._header[fields.MTIME]), 'mtime')

    @cached_property
    def pax(self) -> dict[bytes, bytes]:
        """The entry's PAX records, such as extended attributes; of repeated ones the last, which is what counts."""
        records: dict[bytes, bytes] = {}
        for raw, data in self._extended:
            if raw[fields.TYPE] == PAX:
                records.update(parse_records(data))
        return records

    def set_times(self, seconds: int) -> None:
        """Set every time that the entry has: in the header, in PAX records, in GNU's own fields."""
        self._set(fields.MTIME, seconds)
        if self._is_gnu:
            for field in (fields.GNU_ATIME, fields.GNU_CTIME):
                if self._header[field].strip(b'\0 '):
                    self._set(field, seconds)
        for index, (raw, data) in enumerate(self._extended):
            self._extended[index] = self._set_times_of_extended(raw, data, seconds)

    @property
    def raw(self) -> bytes:
        """The blocks that go before the data."""
        pieces = []
        for raw, data in self._extended:
            pieces += [raw, data, bytes(fields.padded(len(data)) - len(data))]
        return b''.join([*pieces, self._header])

    @property
    def _is_gnu(self) -> bool:
        return self._header[fields.MAGIC] == fields.GNU_MAGIC

    def _set(self, field: slice, value: int) -> None:
        text = fields.write_octal(value, field.stop - field.start)
        if fields.read_number(bytes(self._header[field]), 'number') != value:
            self._header[field] = text
            fields.seal(self._header)
            self.changed = True

    def _set_times_of_extended(self, raw: bytes, data: bytes, seconds: int) -> tuple[bytes, bytes]:
        """Return an extended header with its own time and its time records set."""
        header = bytearray(raw)
        if fields.read_number(bytes(header[fields.MTIME]), 'mtime') != seconds:
            header[fields.MTIME] = fields.write_octal(seconds, 12)
        if header[fields.TYPE] in (PAX, GLOBAL_PAX):
            records = parse_records(data)
            set_records = [(key, b'%d' % seconds if key in _TIMES else value) for key, value in records]
            if set_records != records:
                data = write_records(set_records)
                header[fields.SIZE] = fields.write_octal(len(data), 12)
                self.__dict__.pop('pax', None)
        if bytes(header) != raw:
            fields.seal(header)
            self.changed = True
        return bytes(header), data

    def _long(self, record: bytes, flag: bytes) -> bytes | None:
        if record in self.pax:
            return self.pax[record]
        for raw, data in reversed(self._extended):
            if raw[fields.TYPE] == flag:
                return fields.text(data)
        return None
