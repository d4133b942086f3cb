"""Names within a folder, as documents or receipts give them: never trusted to stay in it."""
import os
import stat
from collections.abc import Callable
from pathlib import PurePosixPath

from occystrap_core import InvalidImage


class WrongKind(Exception):
    """What is there is not a regular file; the message says what it is."""


def file_size(root: str, name: str) -> int:
    """Return the size in bytes of the regular file `name` below `root`, reached without any link.

    Raises WrongKind for anything that is not one, FileNotFoundError, another OSError.
    """
    if not _is_plain(name):
        raise WrongKind('has a name that leads out of the folder')
    parts = PurePosixPath(name).parts
    for depth in range(1, len(parts)):
        _require(os.lstat(os.path.join(root, *parts[:depth])), stat.S_ISDIR, 'lies in something that is not a folder')
    found = os.lstat(os.path.join(root, *parts))
    _require(found, stat.S_ISREG, f'is {_KINDS.get(stat.S_IFMT(found.st_mode), "a device")}, not a regular file')
    return found.st_size


def open_inside(root: str, name: str) -> int:
    """Return a descriptor of the regular file `name`, whose links, if any, stay below `root`.

    Raises InvalidImage for a name or link that leads out, FileNotFoundError, another OSError.
    """
    path = os.path.realpath(os.path.join(root, name))
    if not _is_plain(name) or not path.startswith(os.path.join(os.path.realpath(root), '')):
        raise InvalidImage(f'{root}: the name {name!r} leads out of the folder')
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidImage(f'{root}: {name} is not a regular file')
    return descriptor


def read_document(root: str, name: str, cap: int) -> bytes:
    """Return the content of a small file; raises InvalidImage when it has more than `cap` bytes, and OSError."""
    with open(open_inside(root, name), 'rb') as file:
        content = file.read(cap + 1)
    if len(content) > cap:
        raise InvalidImage(f'{root}/{name} has more than the {cap} bytes allowed')
    return content


_KINDS = {stat.S_IFLNK: 'a symbolic link', stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket'}


def _is_plain(name: str) -> bool:
    return bool(name) and '\0' not in name and not name.startswith('/') and '..' not in PurePosixPath(name).parts


def _require(found: os.stat_result, kind: Callable[[int], bool], message: str) -> None:
    if not kind(found.st_mode):
        raise WrongKind(message)
