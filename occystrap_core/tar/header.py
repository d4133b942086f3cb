"""The 512-byte tar header (POSIX.1-2017, pax, ustar Interchange Format) and the GNU forms of its numbers."""
import re
from zlib import adler32

from occystrap_core.errors import InvalidImage

EXTENDED_CAP = 1 << 20
"""Most bytes of an extended header, and of the map of a sparse file: the limit of Go's archive/tar."""
EXTENDED_COUNT = 16
"""Most extended headers before an entry."""
NUMBER_CAP = 19
"""Digits of the largest number that 64 bits can hold."""
RECORD_COUNT = 1 << 16
"""Most PAX records in an extended header."""
NAME_CAP = 4095
"""Most bytes of a path or a link's target: Linux's PATH_MAX without its zero byte."""
SIZE_CAP = 1 << 62
"""Most bytes of an entry (CVE-2025-8194)."""


BLOCK = 512
NAME, MODE, UID, GID = slice(0, 100), slice(100, 108), slice(108, 116), slice(116, 124)
SIZE, MTIME, CHECKSUM, TYPE = slice(124, 136), slice(136, 148), slice(148, 156), slice(156, 157)
LINKNAME, MAGIC, PREFIX = slice(157, 257), slice(257, 265), slice(345, 500)
UNAME, GNAME = slice(265, 297), slice(297, 329)
GNU_ATIME, GNU_CTIME, GNU_IS_EXTENDED = slice(345, 357), slice(357, 369), slice(482, 483)
GNU_SPARSE_MAP = slice(386, 495)
DEVICE_MAJOR, DEVICE_MINOR = slice(329, 337), slice(337, 345)
GNU_MAGIC, USTAR_MAGIC = b'ustar  \0', b'ustar\0'
_STAR_PREFIX, _STAR_TRAILER = slice(345, 476), slice(508, 512)
_STAR_ATIME, _STAR_CTIME = slice(476, 488), slice(488, 500)
OCTAL_LIMIT = 8 ** 11
"""The limit of a time or size in octal."""

_ALL_OCTAL = re.compile(rb'([0-7]{7})[\0 ]([0-7]{7})[\0 ]([0-7]{7})[\0 ][0-7]{11}[\0 ]([0-7]{11})[\0 ]')


def read_attributes(header: bytes) -> tuple[int, int, int, int]:
    """Return mode, uid, gid and mtime; raises InvalidImage. One check suffices for the usual form."""
    if found := _ALL_OCTAL.match(header, MODE.start):
        mode, uid, gid, mtime = found.groups()
        return int(mode, 8), int(uid, 8), int(gid, 8), int(mtime, 8)
    return (read_number(header[MODE], 'mode'), read_number(header[UID], 'uid'), read_number(header[GID], 'gid'),
            read_number(header[MTIME], 'mtime'))


def read_device(header: bytes) -> tuple[int, int]:
    """Return major and minor number; 0 in V7 headers, which have no field for them. Raises InvalidImage."""
    if header[MAGIC][:5] != USTAR_MAGIC[:5]:
        return 0, 0
    return read_number(header[DEVICE_MAJOR], 'devmajor'), read_number(header[DEVICE_MINOR], 'devminor')


def read_number(field: bytes, what: str) -> int:
    """Return a number written in octal or, as GNU does, in base 256; raises InvalidImage."""
    if field[-1] in b'\0 ' and not field[:-1].strip(b'01234567'):
        return int(field[:-1], 8)  # the usual form
    if field[0] & 0x80:
        value = int.from_bytes(field, 'big', signed=False) & ~(0x80 << 8 * (len(field) - 1))
        return in_64_bits(value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value, what)
    return read_octal(field, what)


def in_64_bits(value: int, what: str) -> int:
    """Return a number; raises InvalidImage if Go's archive/tar, and so Docker, refuses it as too large."""
    if not -1 << 63 <= value < 1 << 63:
        raise InvalidImage(f'a tar entry has the {what} {value}, which is more than 64 bits can hold')
    return value


def read_octal(field: bytes, what: str) -> int:
    """Return an octal number as Go's archive/tar reads it: blank is 0, anything may follow a zero byte.

    Raises InvalidImage.
    """
    digits = field.strip(b'\0 ').partition(b'\0')[0]
    if not digits.strip(b'01234567'):  # int() also accepts signs and underscores, which other programs read differently
        return int(digits or b'0', 8)
    raise InvalidImage(f'a tar header has the malformed {what} {bytes(field)!r}')


def write_octal(value: int, width: int) -> bytes:
    """Return `value` in octal, `width` bytes with a final zero byte."""
    return b'%0*o\0' % (width - 1, value)


def write_number(value: int, width: int) -> bytes:
    """Return `value` in octal, or in GNU's base 256 if it is too large."""
    return write_octal(value, width) if value < 8 ** (width - 1) else b'\x80' + value.to_bytes(width - 1, 'big')


def extended_header(mtime: bytes, size: int) -> bytes:
    """Return the header for `size` bytes of PAX records; only the time of the previous header is kept."""
    header = bytearray(BLOCK)
    header[NAME] = b'PaxHeaders/0'.ljust(100, b'\0')
    for field, value in ((MODE, 0o644), (UID, 0), (GID, 0), (SIZE, size)):
        header[field] = write_octal(value, field.stop - field.start)
    header[MTIME], header[TYPE], header[MAGIC] = mtime, b'x', b'ustar\x0000'
    seal(header)
    return bytes(header)


def read_size(header: bytes) -> int:
    """Return the size in bytes of an entry's data; raises InvalidImage if it is negative or absurd."""
    size = read_number(header[SIZE], 'size')
    return checked_size(size)


def checked_size(size: int) -> int:
    """Return `size`; raises InvalidImage if it is negative or larger than any file (CVE-2025-8194)."""
    if not 0 <= size < SIZE_CAP:
        raise InvalidImage(f'a tar entry claims to have {size} bytes')
    return size


def check(header: bytes) -> None:
    """Raise InvalidImage unless the checksum is right, signed (as in old programs) or unsigned."""
    total = _checksum(header)
    if header[CHECKSUM] == b'%06o\0 ' % total:
        return
    negative = sum(byte >= 128 for byte in header) - sum(byte >= 128 for byte in header[CHECKSUM])
    try:
        is_right = read_octal(header[CHECKSUM], 'checksum') in (total, total - 256 * negative)
    except InvalidImage:
        is_right = False
    if not is_right:
        raise InvalidImage('a tar header has a wrong checksum')


def seal(header: bytearray) -> None:
    """Write the checksum of a changed header."""
    header[CHECKSUM] = b'%06o\0 ' % _checksum(header)


def _checksum(header: bytes | bytearray) -> int:
    """Return the sum of all bytes, those of the checksum itself counted as spaces.

    The lower half of an Adler-32 is one more than the sum modulo 65521 (RFC 1950, 8.2), and 256 bytes stay below that:
    this is twenty times faster than a sum in Python.
    """
    halves = (adler32(header[:256]) & 0xffff) + (adler32(header[256:]) & 0xffff) - 2
    return halves - sum(header[CHECKSUM]) + 8 * 32


def prefix(header: bytes | bytearray) -> bytes:
    """Return the part of the path before the name, with a slash: shorter in star's headers, none in V7's and GNU's.

    Go up to 1.7 wrote a prefix under GNU's magic, in the fields of times; as in Go, a field that is not a time is a
    prefix.
    """
    if not header[PREFIX.start]:
        return b''
    if header[MAGIC][:6] == USTAR_MAGIC:
        return text(header[_STAR_PREFIX if _is_star(header) else PREFIX])
    if header[MAGIC] == GNU_MAGIC and not _has_gnu_times(header):
        found = text(header[PREFIX])
        return found if found.isascii() else b''
    return b''


def further_times(header: bytes | bytearray) -> tuple[slice, ...]:
    """Return the time fields of GNU's and star's headers other than the modification time."""
    if header[MAGIC] == GNU_MAGIC:
        return (GNU_ATIME, GNU_CTIME) if _has_gnu_times(header) else ()
    return (_STAR_ATIME, _STAR_CTIME) if _is_star(header) else ()


def _is_star(header: bytes | bytearray) -> bool:
    return header[_STAR_TRAILER] == b'tar\0' and header[MAGIC][:6] == USTAR_MAGIC


def _has_gnu_times(header: bytes | bytearray) -> bool:
    try:
        for field in (GNU_ATIME, GNU_CTIME):
            if header[field.start]:
                read_number(bytes(header[field]), 'time')
    except InvalidImage:
        return False
    return True


def padded(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


def text(field: bytes | bytearray) -> bytes:
    """Return a field up to its first zero byte."""
    return bytes(field.split(b'\0', 1)[0])
