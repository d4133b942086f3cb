"""Tar entries as filters see them: what headers say, with changes that keep all else byte for byte."""
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry_headers import (
    BLOCK_DEVICE, CHARACTER_DEVICE, GLOBAL_PAX, GNU_LONG_LINK, GNU_SPARSE, PAX, SYMLINK, EntryHeaders,
)
from occystrap_core.tar.pax import Records, write_records

_OWNERS = (b'uid', b'gid', b'uname', b'gname')
_TIMES = (b'mtime', b'atime', b'ctime', b'LIBARCHIVE.creationtime')


class TarEntry(EntryHeaders):
    """One entry: its own header and the extended headers before it, which can be changed. Names are bytes, as in the
    tar.
    """

    def set_times(self, seconds: int) -> None:
        """Set every time of the entry: in the header, in PAX records, in GNU's own fields."""
        self._set(fields.MTIME, seconds)
        for field in fields.further_times(self._header):
            if self._header[field].strip(b'\0 '):
                self._set(field, seconds)
        for index, (raw, data) in enumerate(self._extended):
            self._extended[index] = self._set_times_of_extended(raw, data, seconds)

    def set_owner(self, uid: int, gid: int) -> None:
        """Set the owner's user and group id, and remove the names, which may belong to others elsewhere."""
        kept = [(key, value) for key, value in self._own_records() if key not in _OWNERS]
        self._set_own_records(kept)
        for field, value in ((fields.UID, uid), (fields.GID, gid)):
            self._put(field, fields.write_number(value, 8))
        for field in (fields.UNAME, fields.GNAME):
            self._put(field, bytes(32))

    def set_linkname(self, target: bytes) -> None:
        """Set the target of a link."""
        self._without((GNU_LONG_LINK,))
        kept = [(key, value) for key, value in self._own_records() if key != b'linkpath']
        short = len(target) <= 100
        self._set_own_records(kept if short else [*kept, (b'linkpath', target)])
        self._put(fields.LINKNAME, target[:100].ljust(100, b'\0'))

    def become(self, file: 'TarEntry') -> None:
        """Turn a hard link into what its target is, which may be a symlink, device or pipe.

        It gets the type, size, symlink target, device numbers and further PAX records of `file`; the name, mode, owner
        and times stay those of the link. The data have to follow.
        """
        self.set_linkname(file.linkname if file.type == SYMLINK else b'')
        own = self._own_records()
        keys = {key for key, _ in own} | {b'path', b'linkpath', *_TIMES, *_OWNERS}
        records = [(key, value) for key, value in file._own_records() if key not in keys]
        if b'GNU.sparse.name' in dict(records):
            records = [(key, self.name if key == b'GNU.sparse.name' else value) for key, value in records]
        self._set_own_records([*own, *records])
        self._put(fields.TYPE, file.type)
        self.type = file.type
        devices = (fields.DEVICE_MAJOR, fields.DEVICE_MINOR) if file.type in (CHARACTER_DEVICE, BLOCK_DEVICE) else ()
        for field in (fields.SIZE, *devices):
            self._put(field, bytes(file._header[field]))
        if file.type == GNU_SPARSE:
            self._put(fields.GNU_SPARSE_MAP, bytes(file._header[fields.GNU_SPARSE_MAP]))

    @property
    def raw(self) -> bytes:
        """The blocks before the data."""
        if not self._extended:
            return self._sealed
        pieces = []
        for raw, data in self._extended:
            pieces += [raw, data, bytes(fields.padded(len(data)) - len(data))]
        return b''.join([*pieces, self._sealed])

    @property
    def _sealed(self) -> bytes:
        """The header with its checksum, which is recomputed only if the header was changed."""
        if isinstance(self._header, bytearray):
            fields.seal(self._header)
        return bytes(self._header)

    def _set(self, field: slice, value: int) -> None:
        text = fields.write_octal(value, field.stop - field.start)
        if self._header[field] != text and fields.read_number(bytes(self._header[field]), 'number') != value:
            self._put(field, text)

    def _put(self, field: slice, text: bytes) -> None:
        if self._header[field] != text:
            if isinstance(self._header, bytes):
                self._header = bytearray(self._header)
            self._header[field] = text
            self.changed = True

    def _set_own_records(self, records: Records) -> None:
        """Replace the PAX records by these, in one extended header, or none."""
        if records == self._own_records():
            return
        data = write_records(records)
        self._without((PAX,))
        if records:
            self._extended.append((fields.extended_header(bytes(self._header[fields.MTIME]), len(data)), data))
        self.changed = True

    def _without(self, flags: tuple[bytes, ...]) -> None:
        kept = [(raw, data) for raw, data in self._extended if raw[fields.TYPE] not in flags]
        if len(kept) < len(self._extended):
            self._extended, self.changed = kept, True
        self._pax = None

    def _set_times_of_extended(self, raw: bytes, data: bytes, seconds: int) -> tuple[bytes, bytes]:
        """Return an extended header with its own time and its time records set."""
        header = bytearray(raw)
        if fields.read_number(bytes(header[fields.MTIME]), 'mtime') != seconds:
            header[fields.MTIME] = fields.write_octal(seconds, 12)
        if header[fields.TYPE] in (PAX, GLOBAL_PAX):
            records = self._records_in(data)
            set_records = [(key, b'%d' % seconds if key in _TIMES else value) for key, value in records]
            if set_records != records:
                data = write_records(set_records)
                header[fields.SIZE] = fields.write_octal(len(data), 12)
                self._pax = None
        if bytes(header) != raw:
            fields.seal(header)
            self.changed = True
        return bytes(header), data
