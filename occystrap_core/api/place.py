"""Places of images, each in one form however users write it."""
import os
import re
import stat
from collections.abc import Hashable
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, Self

_HERE = ('localhost', '127.0.0.1', '0.0.0.0', '::1', '::')
_FOLDING = ('vfat', 'msdos', 'exfat', 'ntfs', 'ntfs3', 'fuseblk', 'fuse.fusefat', 'hfs', 'hfsplus', 'cifs', 'smb3',
            'vboxsf')
"""File systems that usually fold case; it counts for one that is empty, so that it cannot be tried."""
_TRIED = 100
_HOST = re.compile(r'(?:\[(?P<inner>[^\]]*)\]|(?P<plain>[^:]*))(?::(?P<port>[0-9]*))?')


class Place(NamedTuple):
    """The place of one image: two images with one place would replace each other.

    `path` is the file, directory or socket with links resolved; empty if there is none. `name` identifies the image
    among others at the path: None if the image takes the whole path, empty if it has no name there and so replaces no
    other. Two images with the same path and name are separate if both have an `apart` and these differ, such as hosts.
    """

    path: str = ''
    name: str | None = None
    apart: str = ''

    @classmethod
    def at(cls, path: str, name: str | None = None, apart: str = '') -> Self:
        """Return the place at a path as users write it: relative, with `..` or through links."""
        return cls(os.path.realpath(path), name, apart)

    @staticmethod
    def absolute(path: str) -> str:
        """Return an absolute path, without links before the last `..`: that leads above what a link leads to.

        So the system reads `link/../name`; os.path.abspath makes another path of it.
        """
        parts = path.split(os.sep)
        if '..' not in parts:
            return os.path.abspath(path)
        last = len(parts) - parts[::-1].index('..')
        return os.path.normpath(os.path.join(os.path.realpath(os.sep.join(parts[:last])), *parts[last:]))

    @staticmethod
    def canonical_host(host: str, *default_ports: int) -> str:
        """Return `host[:port]` in one form: lower case, addresses in their usual notation, this machine as localhost.

        A port that is one of the defaults is left out.
        """
        found = _HOST.fullmatch(host.lower())
        if not found:
            return host.lower()
        name, port = _canonical_name(found['inner'] or found['plain'] or ''), found['port']
        return f'{name}:{int(port)}' if port and int(port) not in default_ports else name

    def __str__(self) -> str:
        return self.path if self.name is None else f'{self.path}#{self.name}' if self.path else self.name

    @property
    def root(self) -> Hashable:
        """A key that is the same for all places at one path, even if its directory is mounted twice."""
        return _identity(self.path) if self.path else None

    def clashes_with(self, other: Self) -> bool:
        """Return whether an image here and one at the other place, with the same `root`, would replace each other."""
        if self.path and (self.name is None or other.name is None):
            return True
        return bool(self.name) and self.name == other.name and not (
            self.apart and other.apart and self.apart != other.apart)


@lru_cache(1024)
def _canonical_name(name: str) -> str:
    import ipaddress  # late: copies between directories do not need these at start-up
    import socket
    name = name.rstrip('.')
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # as resolvers read 127.1 and 0x7f.1
        except (OSError, UnicodeEncodeError):
            return 'localhost' if name.endswith('.localhost') else name
    text = str(getattr(address, 'ipv4_mapped', None) or address)
    return 'localhost' if text in _HERE else f'[{text}]' if ':' in text else text


def _identity(path: str) -> Hashable:
    """Return the file system's identity of a path: of what is there, or of the nearest directory above it and the rest.

    A file is identified by its name in its directory, since its writer replaces it under that name. Names that the file
    system does not tell apart are one; there, inodes may not be (FUSE), so all names below the mount point count.
    """
    rest: list[str] = []
    while True:
        try:
            found = os.stat(path)
        except OSError:
            found = None
        above, name = os.path.split(path)
        if found and not (stat.S_ISREG(found.st_mode) and not rest):
            folds = _folds_case(path, found.st_dev, found.st_ino)
            rest = [_folded(each) if folds else each for each in rest]
            if not folds or os.path.ismount(path):
                return found.st_dev, found.st_ino, *reversed(rest)
        if above == path:
            return path, *reversed(rest)
        path = above
        rest.append(name)


def _folded(name: str) -> str:
    """Return a name as such file systems compare it; vfat also drops dots and spaces at its end."""
    return name.casefold().rstrip('. ')


@lru_cache(1024)
def _folds_case(directory: str, device: int, inode: int) -> bool:
    """Return whether names in a directory that differ only in case are one, as on most media for other systems.

    This is tried with names that are there: nothing is written.
    """
    with suppress(OSError):
        with os.scandir(directory) as entries:
            paths = [each.path for each in islice(entries, _TRIED)]
        if os.stat(os.path.dirname(directory)).st_dev == device:
            paths.append(directory)
        for path in paths:
            above, name = os.path.split(path)
            other = name.swapcase()
            if name.isascii() and other != name:  # by names: FUSE may give both an inode of their own
                return os.path.lexists(os.path.join(above, other)) and other not in os.listdir(above)
        return _file_system(device) in _FOLDING
    return False


def _file_system(device: int) -> str:
    """Return the type of a mounted file system; empty if it is unknown. proc_pid_mountinfo(5)."""
    with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as mounts:
        for line in mounts:
            mounted, _, kind = line.partition(' - ')
            if mounted.split()[2] == f'{os.major(device)}:{os.minor(device)}':
                return kind.split(' ')[0]
    return ''
