"""Owners, modes, times and extended attributes: read from headers, and set as far as this process has the rights."""
import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

from occystrap_core import InvalidImage
from occystrap_core.tar import TarEntry
from occystrap_dir.extraction.checked_entry import AttributeRefused
from occystrap_dir.file_list.acl import ACLS, DEFAULT, stored_value
from occystrap_dir.file_list.mtree import xattr_keywords

ROOTLESS = b'user.rootlesscontainers'
_XATTR = b'SCHILY.xattr.'
_OVERLAY = (b'trusted.overlay.', b'user.overlay.')
"""Attributes that overlayfs takes for its own marks, which layers must not set."""
_PORTABLE = (1 << 31) * 10 ** 9
"""Nanoseconds before and after 1970 that all file systems can store; beyond, each stores the nearest that it can."""
_LATEST = (1 << 62) * 10 ** 9
"""The largest time that can be passed to the system."""
_COARSE = 2 * 10 ** 9
"""Nanoseconds by which a stored time may differ, on file systems with coarse times."""
_UNCHANGED = 0xffffffff
"""The ID that chown(2) does not set, -1 of a signed one; the file stays root's, who unpacks it."""
_SIGN = 1 << 31
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP)
_USER = b'user.'
_NONE: Mapping[bytes, bytes] = {}


class Attributes(NamedTuple):
    """The attributes of a file in a tar header; `mtime` in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: Mapping[bytes, bytes] = _NONE

    @classmethod
    def of(cls, entry: TarEntry) -> Self:
        """Return the attributes of an entry; raises InvalidImage if an owner is out of range."""
        mode, uid, gid, mtime = entry.attributes
        mtime = max(-_LATEST, min(mtime, _LATEST))
        if not (0 <= uid < _UNCHANGED and 0 <= gid < _UNCHANGED):
            if not (-_SIGN <= uid <= _UNCHANGED and -_SIGN <= gid <= _UNCHANGED):
                raise InvalidImage(f'{os.fsdecode(entry.name)} has an owner out of range: {uid}:{gid}')
            uid, gid = _as_system(uid), _as_system(gid)
        if entry.is_bare:
            return cls(mode & 0o7777, uid, gid, mtime)
        xattrs = {key.removeprefix(_XATTR): value for key, value in entry.pax.items()
                  if key.startswith(_XATTR) and not key.removeprefix(_XATTR).startswith(_OVERLAY)}
        return cls(mode & 0o7777, uid, gid, mtime, xattrs)

    def keywords(self, owner: bytes, time: bytes, xattrs: bytes) -> bytes:
        """Return the keywords for a list of files, given those for owner, time and extended attributes as set."""
        return b'mode=%04o%s%s%s' % (self.mode, owner, time, xattrs)


def _as_system(owner: int) -> int:
    """Return the ID that chown(2) makes of a number of 32 bits, signed or not, as for docker and umoci."""
    return 0 if owner in (-1, _UNCHANGED) else owner % (1 << 32)


IMPLICIT = Attributes(0o755, 0, 0, 0)
"""The attributes of a directory without an entry, the same whenever it is made."""


class Cover(NamedTuple):
    """A layer that is not made from a tar: directories, each after its parent, symlinks, and paths that it hides."""

    directories: Sequence[tuple[bytes, Attributes]]
    links: Sequence[tuple[bytes, bytes, Attributes]]
    hidden: Sequence[bytes]


class Setter:
    """Sets attributes, and returns keywords for the list of files."""

    def __init__(self, rootless: bool) -> None:
        """With `rootless` owners are stored in an extended attribute, as by umoci and others without root's rights."""
        self._rootless = rootless
        self.is_root = os.geteuid() == 0 and not rootless
        self._own = os.geteuid(), os.getegid()
        self.missed: Counter[str] = Counter()
        """How many owners, devices and extended attributes could not be set for lack of rights."""
        self.not_held: Counter[str] = Counter()
        """How many extended attributes cannot be set by anybody, by reason."""
        self.clamped = 0
        """How many times were out of the file system's range."""

    @property
    def no_owner(self) -> tuple[int, int]:
        """The owner of files whose owner is not set."""
        return (0, 0) if self._rootless else self._own

    @property
    def notes(self) -> list[str]:
        """Lines for the user about what could not be set, if anything."""
        kinds = [f'{count} extended attribute{"s" * (count > 1)} left out: {reason}'
                 for reason, count in sorted(self.not_held.items())]
        return [*self._notes_on_rights(), *kinds, *self._notes_on_times()]

    def _notes_on_times(self) -> list[str]:
        if not self.clamped:
            return []
        return [f'{self.clamped} time{"s" * (self.clamped > 1)} that the file system cannot store, set to the nearest '
                'possible']

    def _notes_on_rights(self) -> list[str]:
        missed = [f'{count} {what}{"s" * (count > 1)}' for what, count in sorted(self.missed.items()) if count]
        advice = '' if self._rootless or self.is_root else '; rootless=true keeps owners in extended attributes'
        return [f'{" and ".join(missed)} could not be set without root{advice}'] if missed else []

    def file(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set all attributes of an open file, its time last, and return the keywords."""
        attributes = self._readable(attributes, 0o400)
        owner = self._set_owner(descriptor, attributes)
        xattrs = self._set_xattrs(descriptor, attributes) if attributes.xattrs or self._rootless else b''
        os.fchmod(descriptor, attributes.mode)  # after an access list, since it sets the list's mask
        os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
        return attributes.keywords(owner, self._time(attributes, lambda: os.fstat(descriptor)), xattrs)

    def directory(self, descriptor: int, attributes: Attributes) -> bytes:
        """Set what a directory may have while it is filled, and return the keywords of all its attributes."""
        attributes = self._readable(attributes, 0o700)
        owner = self._set_owner(descriptor, attributes, is_new=False)
        xattrs = self._set_xattrs(descriptor, attributes, is_directory=True)
        if not -_PORTABLE <= attributes.mtime < _PORTABLE:
            os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
        time = self._time(attributes, lambda: os.fstat(descriptor))
        return attributes.keywords(owner, time, xattrs)

    def implicit_directory(self, descriptor: int) -> bytes:
        """Set the attributes of a directory without an entry and return the keywords; the owner only as root."""
        if self.is_root:
            return self.directory(descriptor, IMPLICIT)
        return IMPLICIT.keywords(b'', _time_keyword(IMPLICIT.mtime), b'')

    def finish_directory(self, descriptor: int, mode: int, time: int | None, xattrs: Mapping[bytes, bytes]) -> None:
        """Set access lists, mode and time of a complete directory: earlier they would have prevented filling it, been
        inherited, or changed."""
        for name, value in xattrs.items():
            if name in ACLS:
                os.setxattr(descriptor, name, value)
        os.fchmod(descriptor, mode)
        if time is not None:
            os.utime(descriptor, ns=(time, time))

    def named(self, name: bytes, directory: int, attributes: Attributes, is_link: bool) -> bytes:
        """Set all attributes of `name`, a link, device or pipe in an open directory, and return the keywords."""
        owner = b''
        if self.is_root:
            with _naming_owner(attributes):
                os.chown(name, attributes.uid, attributes.gid, dir_fd=directory, follow_symlinks=False)
            owner = b' uid=%d gid=%d' % (attributes.uid, attributes.gid)
        elif (attributes.uid, attributes.gid) != self._own:
            self.missed['owner'] += 1
        xattrs = self._set_xattrs(f'/proc/self/fd/{directory}/{os.fsdecode(name)}', attributes)
        if not is_link:  # it was just made and is not a link, as chmod would follow one
            os.chmod(name, attributes.mode, dir_fd=directory)
        os.utime(name, ns=(attributes.mtime, attributes.mtime), dir_fd=directory, follow_symlinks=False)
        time = self._time(attributes, lambda: os.lstat(name, dir_fd=directory))
        mode = b'' if is_link else b'mode=%04o' % attributes.mode
        return b'%s%s%s%s' % (mode, owner, time, xattrs)

    def _time(self, attributes: Attributes, status: Callable[[], os.stat_result]) -> bytes:
        """Return the keyword of the time that was set, or that the file system stored instead, as `status` returns it.
        """
        time = attributes.mtime
        if not -_PORTABLE <= time < _PORTABLE:
            time = status().st_mtime_ns
            self.clamped += abs(time - attributes.mtime) > _COARSE
        return _time_keyword(time)

    def _readable(self, attributes: Attributes, needed: int) -> Attributes:
        """Return attributes with which an owner who is not root can still read what must be verified."""
        if self.is_root or attributes.mode & needed == needed:
            return attributes
        self.missed['mode'] += 1
        return attributes._replace(mode=attributes.mode | needed)

    def _set_owner(self, descriptor: int, attributes: Attributes, is_new: bool = True) -> bytes:
        """Set the owner, unless a new file already has it, and return its keywords."""
        uid, gid = attributes.uid, attributes.gid
        if self.is_root:
            if not is_new or (uid, gid) != self._own:
                with _naming_owner(attributes):
                    os.fchown(descriptor, uid, gid)
            return b' uid=%d gid=%d' % (uid, gid)
        if not self._rootless:
            self.missed['owner'] += (uid, gid) != self._own
        return b''

    def _set_xattrs(self, target: int | str, attributes: Attributes, is_directory: bool = False) -> bytes:
        """Set extended attributes and return the keywords of those that the kernel stores.

        Access lists of a directory are set and removed again until it is complete, since children inherit them.
        """
        requested = attributes.xattrs
        if self._rootless and isinstance(target, int) and (attributes.uid or attributes.gid):
            requested = {**requested, ROOTLESS: owner_message(attributes.uid, attributes.gid)}
        if not requested:
            return b''
        values = {name: stored_value(name, value, attributes.mode) for name, value in requested.items()}
        done = {name: value for name, value in values.items()
                if value is not None and self._set_xattr(target, name, value)}
        if is_directory and isinstance(target, int) and (lists := [name for name in ACLS if name in done]):
            for name in lists:
                os.removexattr(target, name)
            os.fchmod(target, 0o700)
        return xattr_keywords(done)

    def _set_xattr(self, target: int | str, name: bytes, value: bytes) -> bool:
        """Set one and return whether that is possible; raises OSError if it should have been."""
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
            return True
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self.not_held['the file system does not support them'] += 1
            elif error.errno == errno.EPERM and name.startswith(_USER) and not isinstance(target, int):
                self.not_held['links, devices and pipes have none of user.*'] += 1
            elif error.errno == errno.EPERM and not (self.is_root and isinstance(target, int)):
                self.missed['extended attribute'] += 1
            elif error.errno == errno.EACCES and name != DEFAULT:
                raise
            else:
                raise AttributeRefused(name, len(value), error) from None
            return False


@contextmanager
def _naming_owner(attributes: Attributes) -> Iterator[None]:
    """Make an OSError in the with block name an owner that the user namespace lacks, as that of `unshare -r`."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EINVAL, f'its owner {attributes.uid}:{attributes.gid} is none of this user namespace: '
                      'rootless=true keeps owners in extended attributes', b'') from None


def _time_keyword(time: int) -> bytes:
    return b' time=%d.%09d' % divmod(time, 10 ** 9)


def owner_message(uid: int, gid: int) -> bytes:
    """Return an owner as the protobuf message of rootlesscontainers: uid is field 1, gid field 2, zeros are omitted."""
    return b''.join(bytes([number << 3]) + _varint(value) for number, value in ((1, uid), (2, gid)) if value)


def _varint(value: int) -> bytes:
    pieces = []
    while value >= 128:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])
