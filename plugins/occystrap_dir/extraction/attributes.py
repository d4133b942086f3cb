"""Owners, modes, times and extended attributes: read from headers, and set as far as this process may."""
import errno
import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from occystrap_core import InvalidImage, OutputError
from occystrap_core.tar import TarEntry
from occystrap_dir.extraction.acl import ACLS, DEFAULT, kept
from occystrap_dir.extraction.mtree import xattr_keywords

ROOTLESS = b'user.rootlesscontainers'
_XATTR = b'SCHILY.xattr.'
_OVERLAY = (b'trusted.overlay.', b'user.overlay.')
"""What overlayfs takes for marks of its own: never what a layer says."""
_KEPT = (1 << 31) * 10 ** 9
"""Nanoseconds before and after 1970 that all file systems keep; of others each keeps the nearest that it can."""
_LATEST = (1 << 62) * 10 ** 9
"""What may be asked of the system at all."""
_COARSE = 2 * 10 ** 9
"""Nanoseconds by which times may differ on file systems that hold the time itself."""
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)


_TOO_LARGE = (errno.ENOSPC, errno.EDQUOT, errno.E2BIG)
_IMPOSSIBLE = (errno.EINVAL, errno.ERANGE)
_USER = b'user.'


_NONE: Mapping[bytes, bytes] = {}


class AttributeRefused(OutputError):
    """An extended attribute could not be set; file and destination are known to whoever has it set."""

    def __init__(self, name: bytes, size: int, error: OSError, path: str = 'a file') -> None:
        self._attribute, self._error, self._path = (name, size), error, path
        super().__init__(self._told())

    def at(self, path: str) -> 'AttributeRefused | InvalidImage':
        """Return the error that names the path."""
        impossible = self._error.errno not in _TOO_LARGE and self._error.errno in (*_IMPOSSIBLE, errno.EACCES)
        name, size = self._attribute
        if impossible:
            return InvalidImage(f'{path} has the attribute {os.fsdecode(name)!r}, which it cannot have')
        return AttributeRefused(name, size, self._error, path)

    def below(self, target: str) -> OutputError:
        """Return the error that names the destination, too."""
        return OutputError(f'cannot write to {target}: {self._told()}')

    def _told(self) -> str:
        name, size = self._attribute
        what = (f'{self._path}: its attribute {os.fsdecode(name)!r} of {size} bytes cannot be set: '
                f'{self._error.strerror}')
        if self._error.errno in _TOO_LARGE:
            return f'{what}: the file system cannot hold it, or is full; free some space or use another file system'
        return f'{what}; look into it and try again'


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
        mtime = max(-_LATEST, min(mtime, _LATEST))
        if not (0 <= uid < 0xffffffff and 0 <= gid < 0xffffffff):
            raise InvalidImage(f'{os.fsdecode(entry.name)} has an owner that cannot be: {uid}:{gid}')
        if entry.is_bare:
            return cls(mode & 0o7777, uid, gid, mtime)
        xattrs = {key.removeprefix(_XATTR): value for key, value in entry.pax.items()
                  if key.startswith(_XATTR) and not key.removeprefix(_XATTR).startswith(_OVERLAY)}
        return cls(mode & 0o7777, uid, gid, mtime, xattrs)

    def keywords(self, owner: bytes, time: bytes, xattrs: bytes) -> bytes:
        """Return what to expect of a file or directory, with what was set of owner, time and extended attributes."""
        return b'mode=%04o%s%s%s' % (self.mode, owner, time, xattrs)


IMPLICIT = Attributes(0o755, 0, 0, 0)
"""Those of a directory that no entry tells of: the same whenever it is made."""


class Setter:
    """Sets attributes, and returns the keywords of what must be there then."""

    def __init__(self, rootless: bool) -> None:
        """With `rootless` owners are kept in an extended attribute, as umoci and others do who are not root."""
        self._rootless = rootless
        self.is_root = os.geteuid() == 0 and not rootless
        self._own = os.geteuid(), os.getegid()
        self.missed: Counter[str] = Counter()
        """How many owners, devices and extended attributes could not be set for want of rights."""
        self.not_held: Counter[str] = Counter()
        """How many extended attributes nobody can set, by the reason."""
        self.clamped = 0
        """How many times the file system could not hold."""

    @property
    def no_owner(self) -> tuple[int, int]:
        """An owner that is not set."""
        return (0, 0) if self._rootless else self._own

    @property
    def notes(self) -> list[str]:
        """Lines that say what could not be set, if anything."""
        kinds = [f'{count} extended attribute{"s" * (count > 1)} left out: {reason}'
                 for reason, count in sorted(self.not_held.items())]
        return [*self._notes_on_rights(), *kinds, *self._notes_on_times()]

    def _notes_on_times(self) -> list[str]:
        if not self.clamped:
            return []
        return [f'{self.clamped} time{"s" * (self.clamped > 1)} that the file system cannot hold, set to the nearest '
                'that it can']

    def _notes_on_rights(self) -> list[str]:
        told = [f'{count} {what}{"s" * (count > 1)}' for what, count in sorted(self.missed.items()) if count]
        advice = '' if self._rootless or self.is_root else '; rootless=true keeps owners in extended attributes'
        return [f'{" and ".join(told)} could not be set, not being root{advice}'] if told else []

    def file(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set all of an open file, its time last, and return the keywords."""
        attributes = self._readable(attributes, 0o400)
        owner = self._set_owner(descriptor, attributes)
        xattrs = self._set_xattrs(descriptor, attributes) if attributes.xattrs or self._rootless else b''
        os.fchmod(descriptor, attributes.mode)  # after an access list, whose mask it sets
        os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
        if -_KEPT <= attributes.mtime < _KEPT:  # as of nearly all files
            return attributes.keywords(owner, _time_keyword(attributes.mtime), xattrs)
        return attributes.keywords(owner, self._time(attributes, lambda: os.fstat(descriptor)), xattrs)

    def directory(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set what a directory may have while it is filled, and return the keywords of all."""
        attributes = self._readable(attributes, 0o700)
        owner = self._set_owner(descriptor, attributes, is_new=False)
        xattrs = self._set_xattrs(descriptor, attributes, is_directory=True)
        if not -_KEPT <= attributes.mtime < _KEPT:
            os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
        time = self._time(attributes, lambda: os.fstat(descriptor))
        return attributes.keywords(owner, time, xattrs)

    def implicit_directory(self, descriptor: int) -> bytes:
        """Set the attributes of a directory without an entry, return the keywords; an owner only where one can be set.
        """
        if self.is_root:
            return self.directory(descriptor, IMPLICIT)
        return IMPLICIT.keywords(b'', _time_keyword(IMPLICIT.mtime), b'')

    def finish_directory(self, descriptor: int, mode: int, time: int | None, xattrs: Mapping[bytes, bytes]) -> None:
        """Set what would have kept us from filling a directory, or gone over to what is in it: lists, mode and time."""
        for name, value in xattrs.items():
            if name in ACLS:
                os.setxattr(descriptor, name, value)
        os.fchmod(descriptor, mode)
        if time is not None:
            os.utime(descriptor, ns=(time, time))

    def named(self, name: bytes, directory: int, attributes: Attributes, is_link: bool) -> bytes:
        """Set all attributes of `name` in an open directory, which is no file or directory, and return the keywords."""
        owner = b''
        if self.is_root:
            os.chown(name, attributes.uid, attributes.gid, dir_fd=directory, follow_symlinks=False)
            owner = b' uid=%d gid=%d' % (attributes.uid, attributes.gid)
        elif (attributes.uid, attributes.gid) != self._own:
            self.missed['owner'] += 1
        xattrs = self._set_xattrs(f'/proc/self/fd/{directory}/{os.fsdecode(name)}', attributes)
        if not is_link:  # just made, and no link: there is no chmod that follows none
            os.chmod(name, attributes.mode, dir_fd=directory)
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=directory, follow_symlinks=False)
        time = self._time(attributes, lambda: os.lstat(name, dir_fd=directory))
        mode = b'' if is_link else b'mode=%04o' % attributes.mode
        return b'%s%s%s%s' % (mode, owner, time, xattrs)

    def _time(self, attributes: Attributes, status: Callable[[], os.stat_result]) -> bytes:
        """Return the keyword of the time: what was set, or what the file system made of it, of which `status` tells."""
        time = attributes.mtime
        if not -_KEPT <= time < _KEPT:
            time = status().st_mtime_ns
            self.clamped += abs(time - attributes.mtime) > _COARSE
        return _time_keyword(time)

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

    def _set_xattrs(self, target: int | str, attributes: Attributes, is_directory: bool = False) -> bytes:
        """Set what the kernel keeps, return its keywords; ACLs of a directory are only tried: children inherit them.
        """
        wanted = attributes.xattrs
        if self._rootless and isinstance(target, int) and (attributes.uid or attributes.gid):
            wanted = {**wanted, ROOTLESS: owner_message(attributes.uid, attributes.gid)}
        if not wanted:
            return b''
        values = {name: kept(name, value, attributes.mode) for name, value in wanted.items()}
        done = {name: value for name, value in values.items()
                if value is not None and self._set_xattr(target, name, value)}
        if is_directory and isinstance(target, int) and (lists := [name for name in ACLS if name in done]):
            for name in lists:
                os.removexattr(target, name)
            os.fchmod(target, 0o700)
        return xattr_keywords(done)

    def _set_xattr(self, target: int | str, name: bytes, value: bytes) -> bool:
        """Set one and tell whether it could be; raises OSError where it should have been."""
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
            return True
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self.not_held['the file system takes none of this kind'] += 1
            elif error.errno == errno.EPERM and name.startswith(_USER) and not isinstance(target, int):
                self.not_held['links, devices and pipes have none of user.*'] += 1
            elif error.errno == errno.EPERM and not (self.is_root and isinstance(target, int)):
                self.missed['extended attribute'] += 1
            elif error.errno == errno.EACCES and name != DEFAULT:
                raise
            else:
                raise AttributeRefused(name, len(value), error) from None
            return False


def _time_keyword(time: int) -> bytes:
    return b' time=%d.%09d' % divmod(time, 10 ** 9)


def owner_message(uid: int, gid: int) -> bytes:
    """Return an owner as the protobuf message of rootlesscontainers: uid is field 1, gid 2, zeros are left out."""
    return b''.join(bytes([number << 3]) + _varint(value) for number, value in ((1, uid), (2, gid)) if value)


def _varint(value: int) -> bytes:
    pieces = []
    while value >= 128:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])
