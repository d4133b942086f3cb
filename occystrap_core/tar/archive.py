"""The blocks of an archive that is written: headers that depend on name and size alone, and the end."""
from occystrap_core.tar import header as fields

TAR_BLOCK = fields.BLOCK
TAR_END = bytes(2 * TAR_BLOCK)


def file_header(name: str, size: int) -> bytes:
    """Return the header of a regular file of `size` bytes, in base 256 (as GNU tar does) from 8 GiB on.

    There is one header for each name and size, so that any other one in its place tells of damage. Raises ValueError
    for a name that does not fit in.
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
