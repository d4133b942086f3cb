"""The blocks of an archive to write: headers that depend on name and size alone, and the end."""
from occystrap_core.tar import header as fields

TAR_BLOCK = fields.BLOCK
TAR_END = bytes(2 * TAR_BLOCK)
_ROOM, _TIME = (field.stop - field.start for field in (fields.NAME, fields.MTIME))


def file_header(name: str, size: int) -> bytes:
    """Return the header of a regular file of `size` bytes, in base 256 (as GNU tar does) from 8 GiB on.

    A name of more than 100 bytes has a PAX record before it. Each name and size has exactly one header, so that any
    other header in its place is damage.
    """
    text = name.encode('utf-8', 'surrogateescape')
    return (_path_record(text) if len(text) > _ROOM else b'') + _plain_header(text[:_ROOM], size)


def _path_record(name: bytes) -> bytes:
    """Return an extended header with the record `path` (pax in POSIX.1-2001)."""
    rest = b' path=%s\n' % name
    length = len(rest) + len(str(len(rest) + 3))
    record = b'%d%s' % (length, rest)
    header = fields.extended_header(fields.write_octal(0, _TIME), len(record))
    return header + record.ljust(padded_size(len(record)), b'\0')


def _plain_header(name: bytes, size: int) -> bytes:
    header = bytearray(TAR_BLOCK)
    header[fields.NAME] = name.ljust(_ROOM, b'\0')
    numbers = ((fields.MODE, 0o644), (fields.UID, 0), (fields.GID, 0), (fields.SIZE, size), (fields.MTIME, 0))
    for field, number in numbers:
        header[field] = fields.write_number(number, field.stop - field.start)
    header[fields.TYPE], header[fields.MAGIC] = b'0', fields.GNU_MAGIC
    fields.seal(header)
    return bytes(header)


def padded_size(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return fields.padded(size)
