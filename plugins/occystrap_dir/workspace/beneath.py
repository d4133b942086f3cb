"""Access to what is below a directory, one path component at a time (openat(2)), without following symbolic links.

Every component is opened with O_NOFOLLOW relative to the one above. Links are not checked for in advance, they
cannot be followed: one that is planted between a check and the use of a name does no harm.
"""
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from occystrap_core import InvalidImage
from occystrap_core.files import hash_file
from occystrap_core.oci import SHA256, Digest
from occystrap_dir.workspace.one_name import is_possible, open_directory, open_regular, require_kind

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_LOCK = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
_MOST_LINKS = 40
_STAYS = (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY)
"""Errors for what is missing, is not a directory, is not empty, or is a mount point."""


def capped(file: BinaryIO, cap: int, what: str) -> bytes:
    """Return the content of an open file; raises InvalidImage, which names `what`, for more than `cap` bytes."""
    size = os.fstat(file.fileno()).st_size
    content = file.read(min(cap, size) + 1)  # so many bytes are allocated
    if size < len(content) <= cap:  # some file systems give no size
        content += file.read(cap + 1 - len(content))
    if len(content) > cap:
        raise InvalidImage(f'{what} has more than the {cap} bytes allowed')
    return content


def _components(name: str) -> list[str]:
    """Return the parts of a name as the kernel takes it: empty ones and `.` count for nothing (path_resolution(7))."""
    return [part for part in name.split('/') if part not in ('', '.')]


class Beneath:
    """A directory. Its own path may contain links, since the user chose it; paths below it may not.

    Names are relative, with slashes. All methods raise OSError, with the whole path, and WrongKind for a link, a
    device, a pipe or anything else that is not what was expected at one of the names.
    """

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        """With `descriptor`, which the caller keeps open, that directory is used, wherever `path` leads later."""
        self.path, self._descriptor = path, descriptor

    @contextmanager
    def directory(self, name: str = '') -> Iterator[int]:
        """Open a directory and yield its descriptor."""
        here = self._open(self._parts(name))
        try:
            yield here
        finally:
            os.close(here)

    @contextmanager
    def above(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the directory that has a name, and the name's last part; errors have the whole path.
        """
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
        """Make a directory if it does not exist; return whether it was made."""
        with self.above(name) as (directory, last):
            try:
                os.mkdir(last, mode, dir_fd=directory)
                return True
            except FileExistsError:
                require_kind(os.lstat(last, dir_fd=directory), stat.S_IFDIR)
                return False

    def make_private(self, name: str, mode: int = 0o700) -> None:
        """Make a directory if it does not exist, and set its mode; the default keeps other users out."""
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
        """Make a new file and return its descriptor, open for writing; raises FileExistsError.

        Whatever the umask, its owner may execute it if `mode` says so.
        """
        with self.above(name) as (directory, last):
            descriptor = os.open(last, os.O_WRONLY | _CREATE, mode, dir_fd=directory)
            if mode & stat.S_IXUSR:
                os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | stat.S_IXUSR)
            return descriptor

    def lock_file(self, name: str) -> int:
        """Open a lock file, made if it does not exist, and return its descriptor."""
        with self.above(name) as (directory, last):
            while True:
                with suppress(FileExistsError):
                    return os.open(last, os.O_RDWR | _CREATE, 0o666, dir_fd=directory)
                with suppress(FileNotFoundError):  # another process removed it meanwhile
                    return open_regular(directory, last, _LOCK)

    def open(self, name: str) -> int:
        """Open a regular file for reading and return its descriptor; pipes, devices and the like are not opened."""
        with self.above(name) as (directory, last):
            return open_regular(directory, last, _READ)

    def read(self, name: str, cap: int) -> bytes:
        """Return the content of a small file; raises InvalidImage when it has more than `cap` bytes."""
        with open(self.open(name), 'rb') as file:
            return capped(file, cap, self._path(name))

    def hash(self, name: str, algorithm: str = SHA256) -> tuple[Digest, int]:
        """Return digest and size in bytes of a regular file, read from the device."""
        descriptor = self.open(name)
        try:
            return hash_file(f'/proc/self/fd/{descriptor}', algorithm=algorithm)
        finally:
            os.close(descriptor)

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of a name, for a link that of the link itself; None if it does not exist."""
        try:
            with self.above(name) as (directory, last):
                return os.lstat(last, dir_fd=directory)
        except FileNotFoundError:
            return None

    def is_directory(self, name: str) -> bool:
        """Return whether a name is that of a directory."""
        found = self.status(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def size(self, name: str) -> int:
        """Return the size in bytes of a regular file."""
        with self.above(name) as (directory, last):
            found = os.lstat(last, dir_fd=directory)
            require_kind(found, stat.S_IFREG)
            return found.st_size

    def names(self, name: str = '') -> list[str]:
        """Return the names in a directory, sorted."""
        with self.directory(name) as directory:
            return sorted(os.listdir(directory))

    def has_entries(self, name: str) -> bool:
        """Return whether a directory has any entry, which takes no longer for many."""
        with self.directory(name) as directory, os.scandir(directory) as entries:
            return next(entries, None) is not None

    def rename(self, old: str, new: str) -> None:
        """Rename a file, replacing what has the new name; a link is replaced itself, not its target."""
        with self.above(old) as (source, before), self.above(new) as (target, after):
            os.replace(before, after, src_dir_fd=source, dst_dir_fd=target)

    def unlink(self, name: str) -> None:
        """Remove a file or a link, not its target, if it exists."""
        with suppress(FileNotFoundError), self.above(name) as (directory, last):
            os.unlink(last, dir_fd=directory)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        with self.above(name) as (directory, last):
            os.rmdir(last, dir_fd=directory)

    def remove_empty(self, name: str) -> None:
        """Remove a directory if it exists and is empty; anything else is left alone."""
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
        """Return a name with its links resolved; raises InvalidImage if they lead out of this directory.

        For directories that other programs may have made of links. The result is opened without following links.
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
            pending += _components(target)[::-1]
        self._require_inside(bool(here), name)
        return '/'.join(here)

    def _target(self, name: str) -> str | None:
        """Return the target of a link; None for anything else."""
        with self.above(name) as (directory, last):
            if not stat.S_ISLNK(os.lstat(last, dir_fd=directory).st_mode):
                return None
            return os.readlink(last, dir_fd=directory)

    def _require_inside(self, is_inside: bool, name: str) -> None:
        if not is_inside:
            raise InvalidImage(f'{self.path}: the name {name!r} leads out of the directory')

    def _open(self, parts: list[str]) -> int:
        """Return the descriptor of a directory, which the caller closes."""
        opened = self.path if self._descriptor is None else '.'
        here = os.open(opened, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._descriptor)
        for depth, part in enumerate(parts):
            above = here
            try:
                here = open_directory(above, part)
            except OSError as error:
                raise self._with_path(error, '/'.join(parts[:depth + 1]))
            finally:
                os.close(above)
        return here

    def _with_path(self, error: OSError, name: str) -> OSError:
        """Return an error with the whole path."""
        if not str(error.filename or '').startswith(self.path):
            error.filename, error.filename2 = self._path(name), None
        return error

    def _path(self, name: str) -> str:
        return f'{self.path}/{name}' if name else self.path

    def _parts(self, name: str) -> list[str]:
        """Return the components of a name; raises InvalidImage for an absolute one, `..`, or what cannot be a name."""
        parts = _components(name)
        self._require_inside(is_possible(name) and not name.startswith('/') and '..' not in parts, name)
        return parts
