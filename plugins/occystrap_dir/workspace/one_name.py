"""One name in an open directory: opened without following a link, and only if it is of the expected kind."""
import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KINDS = {stat.S_IFLNK: 'a symbolic link', stat.S_IFDIR: 'a directory', stat.S_IFREG: 'a file', stat.S_IFIFO: 'a pipe',
          stat.S_IFSOCK: 'a socket', stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device'}


class WrongKind(OSError):
    """A path has something else than the expected file or directory, which is left alone."""

    def __init__(self, mode: int, expected: str) -> None:
        self._kind, self._expected = _KINDS.get(stat.S_IFMT(mode), 'something unknown'), expected
        super().__init__(errno.ENOTDIR, f'{self._kind} is in the way, where {expected} should be')

    def __str__(self) -> str:
        """Return what is wrong, to be put after the name of the requested file."""
        return (f'is {self._kind}, not a regular file' if self._expected == 'a regular file' else
                f'lies in {self._kind}, not in a directory')


def open_directory(above: int, name: str) -> int:
    """Return the descriptor of a directory, given that of the one above; raises OSError, WrongKind."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            require_kind(os.lstat(name, dir_fd=above), stat.S_IFDIR)
        raise


def open_regular(directory: int, name: str, flags: int) -> int:
    """Open a regular file and return its descriptor; raises OSError, WrongKind.

    It is checked before, since opening a device may have effects, and again once it is open.
    """
    require_kind(os.lstat(name, dir_fd=directory), stat.S_IFREG)
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        require_kind(os.fstat(descriptor), stat.S_IFREG)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def require_kind(found: os.stat_result, kind: int) -> None:
    """Raise WrongKind unless it is of a kind, stat.S_IFREG or S_IFDIR."""
    if stat.S_IFMT(found.st_mode) != kind:
        raise WrongKind(found.st_mode, 'a regular file' if kind == stat.S_IFREG else 'a directory')


def is_possible(name: str) -> bool:
    """Return whether a file can have this name; one from JSON may have any characters."""
    if name.isascii():  # nearly all names; encoding takes several times as long
        return '\0' not in name
    try:
        return b'\0' not in os.fsencode(name)
    except UnicodeEncodeError:
        return False
