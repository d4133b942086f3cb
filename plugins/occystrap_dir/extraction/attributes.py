"""Owners, modes, times and extended attributes: read from headers, and set as far as this process may."""
import errno
import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Self

from occystrap_core import InvalidImage, TarEntry
from occystrap_dir.extraction.mtree import xattr_keywords

ROOTLESS = b'user.rootlesscontainers'
_XATTR = b'SCHILY.xattr.'
_OVERLAY = (b'trusted.overlay.', b'user.overlay.')
"""What overlayfs takes for marks of its own: never what a layer says."""
_TELLABLE = range(-(1 << 31), 1 << 34)
"""Seconds that file systems keep as they are."""
_TIMES = 1 << 63
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)


_NONE: Mapping[bytes, bytes] = {}


class Attributes(NamedTuple):
    """What a header says of a file beside its content; `mtime` in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: Mapping[bytes, bytes] = _NONE

    @classmethod
    def of(cls, entry: TarEntry) -> Self:
        """Return what an entry says; raises InvalidImage for numbers that cannot be."""
        mode, uid, gid, mtime = entry.attributes
        if not -_TIMES < mtime < _TIMES:
            raise InvalidImage(f'{os.fsdecode(entry.name)} has a time that cannot be')
        if not (0 <= uid < 0xffffffff and 0 <= gid < 0xffffffff):
            raise InvalidImage(f'{os.fsdecode(entry.name)} has an owner that cannot be: {uid}:{gid}')
        if entry.is_bare:
            return cls(mode & 0o7777, uid, gid, mtime)
        xattrs = {key.removeprefix(_XATTR): value for key, value in entry.pax.items()
                  if key.startswith(_XATTR) and not key.removeprefix(_XATTR).startswith(_OVERLAY)}
        return cls(mode & 0o7777, uid, gid, mtime, xattrs)

    @property
    def time_keyword(self) -> bytes:
        """The keyword of the time, with a space before it, where file systems keep it."""
        if self.mtime // 10 ** 9 not in _TELLABLE:
            return b''
        return b' time=%d.%09d' % divmod(self.mtime, 10 ** 9)

    def keywords(self, owner: bytes, xattrs: bytes) -> bytes:
        """Return what to expect of a file or folder, with the owner and the extended attributes that were set."""
        return b'mode=%04o%s%s%s' % (self.mode, owner, self.time_keyword, xattrs)


IMPLICIT = Attributes(0o755, 0, 0, 0)
"""Those of a folder that no entry tells of: the same whenever it is made."""


class Setter:
    """Sets attributes, and returns the keywords of what must be there then."""

    def __init__(self, rootless: bool) -> None:
        """With `rootless` owners are kept in an extended attribute, as umoci and others do who are not root."""
        self._rootless = rootless
        self.is_root = os.geteuid() == 0 and not rootless
        self._own = os.geteuid(), os.getegid()
        self.missed: Counter[str] = Counter()
        """How many owners, devices and extended attributes could not be set."""

    @property
    def notes(self) -> list[str]:
        """A line that says what could not be set, if anything."""
        told = [f'{count} {what}{"s" * (count > 1)}' for what, count in sorted(self.missed.items()) if count]
        advice = '' if self._rootless or self.is_root else '; rootless=true keeps owners in extended attributes'
        return [f'{" and ".join(told)} could not be set, not being root{advice}'] if told else []

    def file(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set all of an open file, its time last, and return the keywords."""
        attributes = self._readable(attributes, 0o400)
        owner = self._set_owner(descriptor, attributes)
        os.fchmod(descriptor, attributes.mode)
        xattrs = self._set_xattrs(descriptor, attributes)
        os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
        return attributes.keywords(owner, xattrs)

    def folder(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set what a folder may have while it is filled, and return the keywords: mode and time are set at the end."""
        attributes = self._readable(attributes, 0o700)
        owner = self._set_owner(descriptor, attributes, is_new=False)
        xattrs = self._set_xattrs(descriptor, attributes)
        return attributes.keywords(owner, xattrs)

    def named(self, name: bytes, folder: int, attributes: Attributes, is_link: bool) -> bytes:
        """Set all of what is called `name` in an open folder, and is no file or folder, and return the keywords."""
        owner = b''
        if self.is_root:
            os.chown(name, attributes.uid, attributes.gid, dir_fd=folder, follow_symlinks=False)
            owner = b' uid=%d gid=%d' % (attributes.uid, attributes.gid)
        elif (attributes.uid, attributes.gid) != self._own:
            self.missed['owner'] += 1
        if not is_link:  # just made, and no link: there is no chmod that follows none
            os.chmod(name, attributes.mode, dir_fd=folder)
        xattrs = self._set_xattrs(f'/proc/self/fd/{folder}/{os.fsdecode(name)}', attributes)
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=folder, follow_symlinks=False)
        mode = b'' if is_link else b'mode=%04o' % attributes.mode
        return b'%s%s%s%s' % (mode, owner, attributes.time_keyword, xattrs)

    def _readable(self, attributes: Attributes, needed: int) -> Attributes:
        """Return attributes with which their owner, who is not root, can still look at what must be verified."""
        if self.is_root or attributes.mode & needed == needed:
            return attributes
        self.missed['mode'] += 1
        return attributes._replace(mode=attributes.mode | needed)

    def _set_owner(self, descriptor: int, attributes: Attributes, is_new: bool = True) -> bytes:
        """Set the owner, which of a new file may be right already, and return its keywords."""
        uid, gid = attributes.uid, attributes.gid
        if self.is_root:
            if not is_new or (uid, gid) != self._own:
                os.fchown(descriptor, uid, gid)
            return b' uid=%d gid=%d' % (uid, gid)
        if not self._rootless:
            self.missed['owner'] += (uid, gid) != self._own
        return b''

    def _set_xattrs(self, target: int | str, attributes: Attributes) -> bytes:
        wanted = attributes.xattrs
        if self._rootless and isinstance(target, int) and (attributes.uid or attributes.gid):
            wanted = {**wanted, ROOTLESS: owner_message(attributes.uid, attributes.gid)}
        if not wanted:
            return b''
        return xattr_keywords({name: value for name, value in wanted.items() if self._set_xattr(target, name, value)})

    def _set_xattr(self, target: int | str, name: bytes, value: bytes) -> bool:
        """Set one and tell whether it could be; raises OSError where it should have been."""
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
            return True
        except OSError as error:
            refused = error.errno == errno.EPERM and not (self.is_root and isinstance(target, int))
            if error.errno in (errno.EINVAL, errno.ERANGE):
                raise InvalidImage(f'a file has the attribute {os.fsdecode(name)!r}, which none can have') from None
            if not refused and error.errno not in _UNSUPPORTED:
                raise
            self.missed['extended attribute'] += 1
            return False


def owner_message(uid: int, gid: int) -> bytes:
    """Return an owner as the protobuf message of rootlesscontainers: uid is field 1, gid 2, zeros are left out."""
    return b''.join(bytes([number << 3]) + _varint(value) for number, value in ((1, uid), (2, gid)) if value)


def _varint(value: int) -> bytes:
    pieces = []
    while value >= 128:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])
