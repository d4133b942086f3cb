"""A directory and what lies below it, reached name by name (openat(2)), so that no link can lead out or astray.

Every component is opened with O_NOFOLLOW relative to the one above: to follow a link is impossible rather than checked
for, and one that is planted between a look and the use of a name is met by the use.
"""
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath

from occystrap_core import InvalidImage
from occystrap_core.files import hash_file
from occystrap_core.oci import Digest

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFLNK: 'a symbolic link', stat.S_IFDIR: 'a directory', stat.S_IFREG: 'a file', stat.S_IFIFO: 'a pipe',
          stat.S_IFSOCK: 'a socket', stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device'}
_MOST_LINKS = 40
_STAYS = (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY)
"""What tells of a directory that is not there, is none, is not empty, or is a mount point."""


class WrongKind(OSError):
    """Something else than the file or directory that should be at a path, which is left alone."""

    def __init__(self, mode: int, expected: str) -> None:
        self._kind, self._expected = _KINDS.get(stat.S_IFMT(mode), 'something unknown'), expected
        super().__init__(errno.ENOTDIR, f'{self._kind} is in the way, where {expected} should be')

    def __str__(self) -> str:
        """Return what to say of the file that was asked for."""
        return (f'is {self._kind}, not a regular file' if self._expected == 'a regular file' else
                f'lies in {self._kind}, not in a directory')


class Beneath:
    """A directory by its path, which may lead through links: that is for the user to choose. What is below may not.

    Names are relative, with slashes. All methods raise OSError, with the whole path, and WrongKind for a link, a
    device, a pipe or anything else that is not what was expected at one of the names.
    """

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        """With `descriptor`, which stays open, it is that directory, whatever the path comes to lead to."""
        self.path, self._descriptor = path, descriptor

    @contextmanager
    def directory(self, name: str = '') -> Iterator[int]:
        """Give the open descriptor of a directory."""
        here = self._open(self._parts(name))
        try:
            yield here
        finally:
            os.close(here)

    @contextmanager
    def above(self, name: str) -> Iterator[tuple[int, str]]:
        """Give the open directory that a name is in, and the last part of the name; errors tell the whole path."""
        parts = self._parts(name)
        self._require_inside(bool(parts), name)
        here = self._open(parts[:-1])
        try:
            yield here, parts[-1]
        except OSError as error:
            raise self._with_path(error, name)
        finally:
            os.close(here)

    def make(self, name: str, mode: int = 0o777) -> bool:
        """Make a directory if it is not there; return whether it was made."""
        with self.above(name) as (directory, last):
            try:
                os.mkdir(last, mode, dir_fd=directory)
                return True
            except FileExistsError:
                _require(os.lstat(last, dir_fd=directory), stat.S_IFDIR)
                return False

    def make_private(self, name: str, mode: int = 0o700) -> None:
        """Make a directory that keeps others out, or see that one which is there does; `mode` lets some in."""
        self.make(name, mode)
        self.set_mode(name, mode)

    def set_mode(self, name: str, mode: int) -> bool:
        """Give a directory this mode; return whether it had another one."""
        with self.directory(name) as directory:
            differs = stat.S_IMODE(os.fstat(directory).st_mode) != mode
            if differs:
                os.fchmod(directory, mode)
            return differs

    def create(self, name: str, mode: int = 0o666) -> int:
        """Make a new file and return its descriptor, to be written to; raises FileExistsError."""
        with self.above(name) as (directory, last):
            return os.open(last, os.O_WRONLY | _CREATE, mode, dir_fd=directory)

    def lock_file(self, name: str) -> int:
        """Open a file that is only there to be locked, made if need be; return its descriptor."""
        with self.above(name) as (directory, last):
            while True:
                with suppress(FileExistsError):
                    return os.open(last, os.O_RDWR | _CREATE, 0o666, dir_fd=directory)
                with suppress(FileNotFoundError):  # somebody removed it meanwhile
                    return _open_regular(directory, last, _LOCK)

    def open(self, name: str) -> int:
        """Open a regular file to be read, and return its descriptor; nothing else is opened, or waited for."""
        with self.above(name) as (directory, last):
            return _open_regular(directory, last, _READ)

    def read(self, name: str, cap: int) -> bytes:
        """Return the content of a small file; raises InvalidImage when it has more than `cap` bytes."""
        with open(self.open(name), 'rb') as file:
            content = file.read(cap + 1)
        if len(content) > cap:
            raise InvalidImage(f'{self._path(name)} has more than the {cap} bytes allowed')
        return content

    def hash(self, name: str) -> tuple[Digest, int]:
        """Return digest and size of a regular file, as the device has them."""
        descriptor = self.open(name)
        try:
            return hash_file(f'/proc/self/fd/{descriptor}')
        finally:
            os.close(descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """Return what is there, a link by itself; None where nothing is."""
        try:
            with self.above(name) as (directory, last):
                return os.lstat(last, dir_fd=directory)
        except FileNotFoundError:
            return None

    def is_directory(self, name: str) -> bool:
        """Tell whether a directory is there."""
        found = self.status(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def size(self, name: str) -> int:
        """Return the size in bytes of a regular file."""
        with self.above(name) as (directory, last):
            found = os.lstat(last, dir_fd=directory)
            _require(found, stat.S_IFREG)
            return found.st_size

    def names(self, name: str = '') -> list[str]:
        """Return what is in a directory, in order."""
        with self.directory(name) as directory:
            return sorted(os.listdir(directory))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of what has it; a link that is there goes, what it leads to does not."""
        with self.above(old) as (source, before), self.above(new) as (target, after):
            os.replace(before, after, src_dir_fd=source, dst_dir_fd=target)

    def unlink(self, name: str) -> None:
        """Remove a file, or a link by itself, if it is there."""
        with suppress(FileNotFoundError), self.above(name) as (directory, last):
            os.unlink(last, dir_fd=directory)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        with self.above(name) as (directory, last):
            os.rmdir(last, dir_fd=directory)

    def remove_empty(self, name: str) -> None:
        """Remove a directory if it is there and empty; what is in it, and what is none, stays."""
        try:
            self.rmdir(name)
        except OSError as error:
            if error.errno not in _STAYS:
                raise

    def sync(self, name: str = '') -> None:
        """Flush the names in a directory to the device, so that a rename survives a power cut."""
        with self.directory(name) as directory:
            os.fsync(directory)

    def resolved(self, name: str) -> str:
        """Return a name without links, which are followed as long as they stay below; raises InvalidImage for others.

        For what others may have made of links: the result is to be opened as any name, without following any.
        """
        pending, here, links = self._parts(name)[::-1], list[str](), 0
        while pending:
            if (part := pending.pop()) == '..':
                self._require_inside(bool(here), name)
                here.pop()
                continue
            here.append(part)
            if (target := self._target('/'.join(here))) is None:
                continue
            links += 1
            here.pop()
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path(name))
            if target.startswith('/'):
                root = os.path.join(os.path.realpath(self.path), '')
                self._require_inside(target.startswith(root), name)
                here, target = [], target.removeprefix(root)
            pending += [each for each in PurePosixPath(target).parts if each != '/'][::-1]
        self._require_inside(bool(here), name)
        return '/'.join(here)

    def _target(self, name: str) -> str | None:
        """Return where a link leads, None for what is none."""
        with self.above(name) as (directory, last):
            if not stat.S_ISLNK(os.lstat(last, dir_fd=directory).st_mode):
                return None
            return os.readlink(last, dir_fd=directory)

    def _require_inside(self, is_inside: bool, name: str) -> None:
        if not is_inside:
            raise InvalidImage(f'{self.path}: the name {name!r} leads out of the directory')

    def _open(self, parts: list[str]) -> int:
        """Return the descriptor of a directory, to be closed."""
        opened = self.path if self._descriptor is None else '.'
        here = os.open(opened, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
        for depth, part in enumerate(parts):
            above = here
            try:
                here = _step(above, part)
            except OSError as error:
                raise self._with_path(error, '/'.join(parts[:depth + 1]))
            finally:
                os.close(above)
        return here

    def _with_path(self, error: OSError, name: str) -> OSError:
        """Return an error that tells the whole path."""
        if not str(error.filename or '').startswith(self.path):
            error.filename, error.filename2 = self._path(name), None
        return error

    def _path(self, name: str) -> str:
        return f'{self.path}/{name}' if name else self.path

    def _parts(self, name: str) -> list[str]:
        """Return the names on a way; raises InvalidImage for a name that could lead elsewhere."""
        parts = [*PurePosixPath(name).parts]
        self._require_inside('\0' not in name and _is_encodable(name) and not name.startswith('/')
                             and '..' not in parts, name)
        return parts


def _step(here: int, part: str) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=here)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            _require(os.lstat(part, dir_fd=here), stat.S_IFDIR)
        raise


def _open_regular(directory: int, name: str, flags: int) -> int:
    """Open a file that is looked at before, since to open a device may do something, and after."""
    _require(os.lstat(name, dir_fd=directory), stat.S_IFREG)
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        _require(os.fstat(descriptor), stat.S_IFREG)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require(found: os.stat_result, kind: int) -> None:
    if stat.S_IFMT(found.st_mode) != kind:
        raise WrongKind(found.st_mode, 'a regular file' if kind == stat.S_IFREG else 'a directory')


def _is_encodable(name: str) -> bool:
    """Tell whether a file can have this name, which JSON may give any characters."""
    try:
        os.fsencode(name)
        return True
    except UnicodeEncodeError:
        return False
