"""What an entry of a layer must be to be unpacked, and what it is in a tree; the error for a refused attribute."""
import errno
import os

from occystrap_core import InvalidImage, OutputError
from occystrap_core.tar import CHARACTER_DEVICE, FILE, TarEntry, plain_path
from occystrap_dir.workspace.root import text

AUFS = b'.wh..wh.'
"""How names begin that aufs kept for itself: they are no part of an image."""
AUFS_LINKED = AUFS + b'plnk'
"""The directory in which aufs kept the files that have several names: hard links lead there."""
_MAJORS, _MINORS = 1 << 12, 1 << 20
"""Limits of device numbers on Linux."""
_TOO_LARGE = (errno.ENOSPC, errno.EDQUOT, errno.E2BIG)
_IMPOSSIBLE = (errno.EINVAL, errno.ERANGE)


def checked_path(entry: TarEntry) -> bytes:
    """Return an entry's path below the root; raises InvalidImage if it has `..` or a zero byte."""
    path = plain_path(entry.name)
    if b'\0' in path or b'\0' in entry.linkname:
        raise InvalidImage(f'{text(path)!r}: a name has a zero byte')
    if b'..' in path.split(b'/'):
        raise InvalidImage(f'{text(path)} has .., which no path in an image may have')
    return path


def is_metadata_of_aufs(path: bytes, kind: bytes) -> bool:
    """Return whether an entry lies in a directory of aufs, and is no file that hard links may lead to."""
    above = path.split(b'/')[:-1]
    return any(name.startswith(AUFS) for name in above) and (above != [AUFS_LINKED] or kind != FILE)


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


class AttributeRefused(OutputError):
    """An extended attribute could not be set; callers add the path of the file and the destination."""

    def __init__(self, name: bytes, size: int, error: OSError, path: str = 'a file') -> None:
        self._attribute, self._error, self._path = (name, size), error, path
        super().__init__(self._reason())

    def at(self, path: str) -> 'AttributeRefused | InvalidImage':
        """Return the error with the path in the image."""
        impossible = self._error.errno not in _TOO_LARGE and self._error.errno in (*_IMPOSSIBLE, errno.EACCES)
        name, size = self._attribute
        if impossible:
            return InvalidImage(f'{path} has the attribute {os.fsdecode(name)!r}, which no such file can have')
        return AttributeRefused(name, size, self._error, path)

    def below(self, target: str) -> OutputError:
        """Return the error with the destination."""
        return OutputError(f'cannot write to {target}: {self._reason()}')

    def _reason(self) -> str:
        name, size = self._attribute
        what = (f'{self._path}: its attribute {os.fsdecode(name)!r} of {size} bytes cannot be set: '
                f'{self._error.strerror}')
        if self._error.errno in _TOO_LARGE:
            return f'{what}: the file system cannot hold it, or is full; free some space or use another file system'
        return f'{what}; correct the cause and try again'
