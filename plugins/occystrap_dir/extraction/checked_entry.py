"""What an entry of a layer must be to be unpacked, and what it is in a tree whatever its type says."""
from occystrap_core import InvalidImage
from occystrap_core.tar import CHARACTER_DEVICE, FILE, TarEntry, plain_path
from occystrap_dir.workspace.root import text

_MAJORS, _MINORS = 1 << 12, 1 << 20
"""Limits of device numbers on Linux."""


def checked_path(entry: TarEntry) -> bytes:
    """Return an entry's path below the root; raises InvalidImage if it has `..` or a zero byte."""
    path = plain_path(entry.name)
    if b'\0' in path or b'\0' in entry.linkname:
        raise InvalidImage(f'{text(path)!r}: a name has a zero byte')
    if b'..' in path.split(b'/'):
        raise InvalidImage(f'{text(path)} has .., which no path in an image may have')
    return path


def is_old_directory(entry: TarEntry) -> bool:
    """Return whether an entry is a directory in the format of tars that had no type for directories."""
    return entry.type == FILE and entry.name.endswith(b'/') and entry.size == 0


def device_keywords(path: bytes, entry: TarEntry) -> bytes:
    """Return type and numbers of a device for the list of files; raises InvalidImage for numbers out of range."""
    major, minor = entry.device
    if not (0 <= major < _MAJORS and 0 <= minor < _MINORS):
        raise InvalidImage(f'{text(path)} is a device with numbers out of range: {major}, {minor}')
    kind = b'char' if entry.type == CHARACTER_DEVICE else b'block'
    return b'type=%s device=native,%d,%d' % (kind, major, minor)
