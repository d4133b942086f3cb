"""Directories below a root, opened one path component at a time; symlinks are resolved here, within the root.

Symlinks in the directories of a path are followed as in a chroot: an absolute target begins at the root, and `..` stops
there. Every step is an openat(2) of one name with O_NOFOLLOW, so that no link can lead out.
"""
import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from occystrap_core import InvalidImage

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OPEN = 64
"""How many directories are kept open."""
_ALIASES = 4096
_LINKS = 40
"""Symlinks that are followed in one path, as on Linux (path_resolution(7))."""
LONGEST = 4095
"""Bytes that a path may have, as on Linux: PATH_MAX without its zero byte."""


_LONGEST_NAME = 255
"""Bytes that one name may have, as on Linux: NAME_MAX."""


class NoDirectory(InvalidImage):
    """A path has something else than a directory where it needs one."""


class Directory(NamedTuple):
    """An open directory: its path below the root, without links, and its descriptor, valid until the next is opened."""

    path: bytes
    descriptor: int


class Root:
    """A root directory. Paths are bytes, relative, without `.`; that of the root is empty."""

    def __init__(self, path: str | int, made: Callable[[bytes], None] = lambda path: None) -> None:
        """`path` may be an open directory; `made` is called for each missing directory that is made. Raises OSError."""
        self._made = made
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._root = os.open('.', _DIRECTORY, dir_fd=path) if isinstance(path, int) else os.open(path, _DIRECTORY)
        self._aliases: dict[bytes, bytes] = {b'': b''}
        """Requested paths, and the same without links."""

    def directory(self, path: bytes) -> Directory:
        """Return the directory at a path, made if missing; raises InvalidImage if something else is there, OSError."""
        known = self._aliases.get(path)
        if known is not None and known in self._open:  # as for nearly all files
            return Directory(known, self._open[known])
        found = self._find(path, make=True)
        assert found is not None
        return found

    def existing(self, path: bytes) -> Directory | None:
        """Return the directory at a path, None if there is none; raises OSError."""
        try:
            return self._find(path, make=False)
        except InvalidImage:
            return None

    def plain(self, path: bytes) -> int:
        """Return the descriptor of a directory whose path has no links, valid until the next is opened; raises OSError.
        """
        if not path:
            return self._root
        if path in self._open:
            return self._open[path]
        known = path
        while known and known not in self._open:
            known = known.rpartition(b'/')[0]
        descriptor = self._open[known] if known else self._root
        for name in path[len(known):].lstrip(b'/').split(b'/'):
            known = join(known, name)
            descriptor = self._keep(known, os.open(name, _DIRECTORY, dir_fd=descriptor))
        return descriptor

    def gone(self, path: bytes) -> None:
        """Forget a path that is about to be removed, and all below it."""
        self._aliases = {b'': b''}
        below = path + b'/'
        for each in [each for each in self._open if each == path or each.startswith(below)]:
            os.close(self._open.pop(each))

    def close(self) -> None:
        """Close all directories."""
        while self._open:
            os.close(self._open.popitem()[1])
        root, self._root = self._root, -1
        os.close(root)

    def _find(self, path: bytes, make: bool) -> Directory | None:
        known = self._aliases.get(path)
        if known is None:
            known = self._walk(path, make)
            if known is None:
                return None
            if len(self._aliases) > _ALIASES:
                self._aliases = {b'': b''}
            self._aliases[path] = known
        return Directory(known, self.plain(known))

    def _walk(self, path: bytes, make: bool) -> bytes | None:
        """Return the path without links; without `make`, None if a directory is missing.

        Missing components count as directories, so that `..` after one leads back; those still in the resolved path are
        made.
        """
        pending, here, links = path.split(b'/')[::-1], b'', 0
        missing: list[bytes] = []
        while pending:
            name = pending.pop()
            if name in (b'', b'.'):
                continue
            if name == b'..':
                here = here.rpartition(b'/')[0]
                missing = missing[:-1]
                continue
            child = join(here, name)
            if len(child) > LONGEST:
                raise InvalidImage(f'{text(path[:100])}… leads to a path of more than {LONGEST} bytes')
            target = b'' if missing else None if child in self._open else self._step(here, name, child)
            if target:
                links += 1
                if links > _LINKS:
                    raise InvalidImage(f'{text(path)}: more than {_LINKS} links in its path')
                here = b'' if target.startswith(b'/') else here
                pending += target.split(b'/')[::-1]
            else:
                here = child
                missing += [] if target is None else [child]
        if missing and not make:
            return None
        for directory in missing:
            above, _, name = directory.rpartition(b'/')
            os.mkdir(name, 0o700, dir_fd=self.plain(above))
            self._made(directory)
        return here

    def _step(self, here: bytes, name: bytes, child: bytes) -> bytes | None:
        """Open a directory and return None; return the target if it is a link, and an empty one if it is missing."""
        above = self.plain(here)
        try:
            self._keep(child, os.open(name, _DIRECTORY, dir_fd=above))
            return None
        except FileNotFoundError:
            return b''
        except OSError:
            found = os.lstat(name, dir_fd=above)
            if not stat.S_ISLNK(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise NoDirectory(f'{text(child)} is not a directory, but another path is below it') from None
            if stat.S_ISDIR(found.st_mode):
                raise
            return os.readlink(name, dir_fd=above)

    def _keep(self, path: bytes, descriptor: int) -> int:
        self._open[path] = descriptor
        if len(self._open) > _OPEN:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


def join(directory: bytes, name: bytes) -> bytes:
    """Return the path of `name` in a directory."""
    return directory + b'/' + name if directory else name


@contextmanager
def naming_path(path: bytes) -> Iterator[None]:
    """Make an OSError in the with block name this path in the image; raises InvalidImage if no file can have it.

    Directories are opened one by one, so the system's error has only the last name, or none.
    """
    try:
        yield
    except OSError as error:
        raise at_path(error, path) from None


def at_path(error: OSError, path: bytes) -> OSError | InvalidImage:
    """Return an error that names a path in the image, InvalidImage if no file can have this path."""
    if error.errno == errno.ENAMETOOLONG and max(map(len, path.split(b'/'))) > _LONGEST_NAME:
        return InvalidImage(f'{text(path)} has a name of more than {_LONGEST_NAME} bytes, which no file can have')
    if error.filename is not None:
        error.filename, error.filename2 = text(path), None
    return error


def text(path: bytes) -> str:
    """Return a path for messages."""
    return os.fsdecode(path)
