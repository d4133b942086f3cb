"""What a file system does to new files: attributes and flags that it sets itself, and its resolution of times."""
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Collection
from typing import NamedTuple, Self

from occystrap_core import InvalidImage
from occystrap_dir.file_list.mtree import escaped, unescaped

_GET_FLAGS = 2 << 30 | struct.calcsize('l') << 16 | ord('f') << 8 | 1
"""FS_IOC_GETFLAGS (ioctl_iflags(2))."""
_EMPTY = bytes(8)
_LETTERS = {0x1: 's', 0x2: 'u', 0x8: 'S', 0x10: 'i', 0x20: 'a', 0x40: 'd', 0x80: 'A', 0x4000: 'j', 0x8000: 't',
            0x10000: 'D', 0x20000: 'T', 0x100000: 'V', 0x40000000: 'F'}
"""Flags that file systems do not set by themselves: all of chattr(1) except how data is stored (compressed, copied on
write, encrypted, DAX)."""
_HELD = sum(_LETTERS)
_NO_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_TIME = 1_000_001_123_456_789
"""A time that each resolution rounds to another one: its seconds are odd."""
_STEPS = (1, 100, 1000, 10 ** 6, 10 ** 9, 2 * 10 ** 9)
"""Resolutions of times in file systems, in nanoseconds."""
_PROBE = b'probe'


class FileSystem(NamedTuple):
    """What new files in a directory have."""

    step: int = 1
    """Resolution of times, in nanoseconds."""
    flags: tuple[int, int] | None = None
    """Flags that a file, and a directory, inherit from the directory; None if the file system has no flags."""
    xattrs: Collection[bytes] = ()
    """Names of attributes that the system sets, such as security.selinux."""

    @classmethod
    def of(cls, directory: int) -> Self:
        """Return what applies in an open, empty directory, found by making and removing entries; raises OSError."""
        descriptor = os.open(_PROBE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        try:
            os.utime(descriptor, ns=(_TIME, _TIME))
            step, flags, names = _step(os.fstat(descriptor).st_mtime_ns), flags_of(descriptor), xattr_names(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(_PROBE, dir_fd=directory)
        directory_flags, more = _of_directory(directory)
        both = None if flags is None or directory_flags is None else (flags, directory_flags)
        return cls(step, both, tuple(sorted({*names, *more})))

    def to_words(self) -> bytes:
        """Return the words for the head of a list of files."""
        flags = b'' if self.flags is None else b' flags=%x,%x' % self.flags
        return b'step=%d%s%s' % (self.step, flags, b''.join(b' xattr=' + escaped(name) for name in self.xattrs))

    @classmethod
    def parse(cls, words: bytes) -> Self:
        """Parse the words that `to_words` returned; raises InvalidImage."""
        pairs = [word.partition(b'=')[::2] for word in words.split()]
        values = dict(pairs)
        try:
            file, directory = (int(each, 16) for each in values.get(b'flags', b'0,0').split(b','))
            return cls(int(values[b'step']), (file, directory) if b'flags' in values else None,
                       tuple(unescaped(value) for key, value in pairs if key == b'xattr'))
        except (KeyError, ValueError):
            raise InvalidImage('the list of files has a malformed line about its file system') from None

    def rounded(self, time: int) -> int:
        """Return a time in nanoseconds, rounded down to the resolution of the file system."""
        return time - time % self.step


def flags_of(descriptor: int) -> int | None:
    """Return the flags of an open file or directory (chattr(1)), None if the file system has none; raises OSError."""
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, _EMPTY)[:4], sys.byteorder) & _HELD
    except OSError as error:
        if error.errno in _NO_FLAGS:
            return None
        raise


def flag_letters(flags: int) -> str:
    """Return flags as lsattr(1) shows them."""
    return ''.join(letter for bit, letter in _LETTERS.items() if flags & bit) or 'none'


def xattr_names(target: int | str) -> list[bytes]:
    """Return the names of all extended attributes of an open file or a path, links not followed; raises OSError."""
    try:
        found = os.listxattr(target) if isinstance(target, int) else os.listxattr(target, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return []
    return [os.fsencode(name) for name in found]


def clear_xattrs(descriptor: int, kept: Collection[bytes] = ()) -> None:
    """Remove all extended attributes that can be removed, except those in `kept`; raises OSError."""
    for name in xattr_names(descriptor):
        if name not in kept:
            try:
                os.removexattr(descriptor, name)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.ENODATA):
                    raise


def _of_directory(above: int) -> tuple[int | None, list[bytes]]:
    os.mkdir(_PROBE, 0o700, dir_fd=above)
    try:
        descriptor = os.open(_PROBE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        try:
            return flags_of(descriptor), xattr_names(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.rmdir(_PROBE, dir_fd=above)


def _step(found: int) -> int:
    return next((step for step in _STEPS if found == _TIME - _TIME % step), _STEPS[-1])
