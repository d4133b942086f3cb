"""The blocks of an archive to write: headers that depend on name and size alone, and the end."""
from occystrap_core.tar import header as fields

TAR_BLOCK = fields.BLOCK
TAR_END = bytes(2 * TAR_BLOCK)


def file_header(name: str, size: int) -> bytes:
    """Return the header of a regular file of `size` bytes, in base 256 (as GNU tar does) from 8 GiB on.

    Each name and size has exactly one header, so that any other header in its place is damage. Raises ValueError for a
    name that is too long.
    """
    text = name.encode('utf-8', 'surrogateescape')
    if len(text) > 100:
        raise ValueError(f'{name} is longer than the 100 bytes that a tar header has room for')
    header = bytearray(TAR_BLOCK)
    header[fields.NAME] = text.ljust(100, b'\0')
    numbers = ((fields.MODE, 0o644), (fields.UID, 0), (fields.GID, 0), (fields.SIZE, size), (fields.MTIME, 0))
    for field, number in numbers:
        header[field] = fields.write_number(number, field.stop - field.start)
    header[fields.TYPE], header[fields.MAGIC] = b'0', fields.GNU_MAGIC
    fields.seal(header)
    return bytes(header)


def padded_size(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return fields.padded(size)
