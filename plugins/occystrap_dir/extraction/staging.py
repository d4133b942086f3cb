"""A folder in the making beside its final place, which it takes by one rename, in exchange for what was there."""
import ctypes
import errno
import fcntl
import os
import secrets
import threading
from contextlib import suppress

from occystrap_core import OutputError, sync_folder, writing
from occystrap_dir import locks
from occystrap_dir.destination import check_parent
from occystrap_dir.extraction.removal import remove_tree

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CWD, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE (renameat2(2))."""


class Staging:
    """One run's folder `.NAME.occystrap-…` beside the destination. It is locked, so that abandoned ones can be told."""

    def __init__(self, path: str, sync: bool) -> None:
        """`path` is the destination; with `sync` all is flushed to the device before it appears."""
        self.target = os.path.realpath(path)
        self._above, name = os.path.split(self.target)
        self._prefix = f'.{name}.occystrap-'
        self.path = f'{self._above}/{self._prefix}{secrets.token_hex(8)}'
        self._sync = sync
        self._lock: int | None = None
        self._mutex = threading.Lock()

    def begin(self) -> None:
        """Make the folder, having removed those of runs that were killed; raises OutputError."""
        with writing(self.target):
            for name in os.listdir(self._above):
                if name.startswith(self._prefix):
                    _remove(f'{self._above}/{name}', fcntl.LOCK_EX | fcntl.LOCK_NB)
            while not self._made():
                pass

    def _made(self) -> bool:
        """Make and lock the folder; tell whether it is still there, which another run may have taken for abandoned."""
        os.mkdir(self.path, 0o755)
        try:
            descriptor = os.open(self.path, _FOLDER)
        except FileNotFoundError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not locks.is_still(self.path, descriptor):
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def commit(self, target: str | None = None) -> None:
        """Let the folder appear at its place, or another one, and remove what it takes the place of.

        Raises OutputError.
        """
        place = target or self.target
        with self._mutex, writing(place):
            assert self._lock is not None
            if self._sync:
                _sync_file_system(self._lock)
            replaced = _take_place(self.path, place)
            if self._sync:
                sync_folder(os.path.dirname(place))
            if replaced:  # nobody has locked it, so others may take it for abandoned
                _remove(self.path, fcntl.LOCK_EX)
            self._unlock()

    def discard(self) -> None:
        """Remove the folder, if it has not taken its place; raises OSError."""
        with self._mutex:
            if self._lock is not None:
                remove_tree(self.path)
                self._unlock()

    def _unlock(self) -> None:
        assert self._lock is not None
        os.close(self._lock)
        self._lock = None


def check_place(path: str, marks: tuple[str, ...], kind: str) -> None:
    """Raise OutputError unless a folder can be made at `path`, in place of an empty one or a `kind` of ours.

    One of ours, damaged or whole, holds the last of `marks` and nothing but them. Asked before anything is downloaded.
    """
    target = os.path.realpath(path)
    with writing(path):
        check_parent(path, os.path.dirname(target))
        if not os.path.lexists(target):
            if os.path.islink(path):
                raise OutputError(f'{path} is a link that leads to no folder: name a folder')
            return
        if not os.path.isdir(target) or os.path.ismount(target):
            raise OutputError(f'{path} is {"a mount point" if os.path.isdir(target) else "not a folder"}: name a new '
                              'folder, which takes its place as a whole when it is complete')
        names = set(os.listdir(target))
        if names and (marks[-1] not in names or names - set(marks)):
            raise OutputError(f'{path} holds other things, such as {sorted(names)[0]!r}, and no {kind}: name a new '
                              'folder')


def _sync_file_system(descriptor: int) -> None:
    """Flush all of the file system that an open file is on to the device (syncfs(2)): cheaper than file by file."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _take_place(path: str, target: str) -> bool:
    """Rename a folder to its place; return whether what was there before is now at `path`."""
    try:
        os.rename(path, target)  # takes the place of an empty folder too
        return False
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    if rename(_CWD, os.fsencode(path), _CWD, os.fsencode(target), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)
    return True


def _remove(path: str, lock: int) -> None:
    """Remove a folder that no run holds; one that somebody else removes at the same time is gone as well.

    With LOCK_NB in `lock` it is left alone where somebody holds it, else that is waited for.
    """
    with suppress(FileNotFoundError, NotADirectoryError, BlockingIOError):
        descriptor = os.open(path, _FOLDER)
        try:
            fcntl.flock(descriptor, lock)
            if locks.is_still(path, descriptor):  # else it has gone meanwhile, and a run has made its own there
                remove_tree(path)
        finally:
            os.close(descriptor)
