"""A directory that is filled beside its destination, then renamed to it, replacing what was there."""
import ctypes
import errno
import fcntl
import os
import re
import threading
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress

from occystrap_core import OutputError
from occystrap_core.files import (
    lock_if_current, output_errors, remove_abandoned_lock, remove_if_abandoned, replacement_lock,
)
from occystrap_core.oci import Digest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.destination import check_parent
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.removal import remove_tree

_EXCHANGE = 2
"""RENAME_EXCHANGE (renameat2(2))."""
_LONGEST_NAME = 255
"""Bytes that a name may have (NAME_MAX)."""


class Staging:
    """One run's directory `.NAME.occystrap-…` beside the destination, locked so that abandoned ones are recognized.

    It has mode 0700 until it is renamed.
    """

    def __init__(self, place: Beneath, name: str, sync: bool,
                 is_ours: Callable[[Collection[str]], bool] = lambda names: True) -> None:
        """`name` is the destination's name in `place`; with `sync` all is flushed to the device before the rename.

        `is_ours` returns whether a directory with these names in it may be replaced.
        """
        above, _, last = name.rpartition('/')
        self.target = f'{place.path}/{name}'
        self._place, self._above, self._is_ours, self._sync = place, above, is_ours, sync
        prefix = _prefix(last)
        self._ours = re.compile(re.escape(prefix) + '[0-9a-f]{16}')
        self._target, self._name = name, self._beside(f'{prefix}{os.urandom(8).hex()}')
        self._lock: int | None = None
        self._mutex = threading.Lock()

    @property
    def inside(self) -> Beneath:
        """The directory, after `begin`."""
        assert self._lock is not None
        return Beneath(f'{self._place.path}/{self._name}', self._lock)

    @property
    def above(self) -> str:
        """The path of the parent directory."""
        return f'{self._place.path}/{self._above}'

    def begin(self) -> None:
        """Remove the directories of killed runs, and make this one; raises OutputError."""
        with output_errors(self.target):
            self._remove_abandoned()
            while not self._made():
                pass

    def tidy(self) -> None:
        """Only remove the directories of killed runs, for a run that writes nothing; the rest is left to the next run.
        """
        remove_abandoned_lock(f'{self._place.path}/{self._target}')
        with suppress(OSError):
            self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        for name in self._place.names(self._above):
            if self._ours.fullmatch(name):  # any other such name is somebody's own
                self._remove(self._beside(name), wait=False)

    def _beside(self, name: str) -> str:
        return f'{self._above}/{name}' if self._above else name

    def _made(self) -> bool:
        """Make and lock the directory; return False if another run removed it before it was locked."""
        self._place.make(self._name, 0o700)
        descriptor = self._opened(self._name)
        if descriptor is not None:
            self._lock = lock_if_current(descriptor, fcntl.LOCK_EX, lambda: self._place.status(self._name))
        return self._lock is not None

    def commit(self, name: str = '', mode: int | None = None, check: Callable[[], object] | None = None) -> None:
        """Rename the directory to its destination, or to another name, and remove what it replaced.

        With `mode`, set that first. `check` is called before the rename, in one run at a time, and raises OutputError
        if what another run has written meanwhile would be lost. Raises OutputError.
        """
        target = name or self._target
        with self._mutex, output_errors(f'{self._place.path}/{target}'):
            assert self._lock is not None
            if mode is not None:
                os.fchmod(self._lock, mode)
            if self._sync:
                _sync_file_system(self._lock)
            with replacement_lock(f'{self._place.path}/{target}') if check else nullcontext():
                if check:
                    check()
                replaced = self._rename_to(target)
            if self._sync:
                self._place.sync(os.path.dirname(target))
            if replaced:  # it is not locked: another run may be removing it as abandoned
                self._remove(self._name, wait=True)
            self._unlock()

    def discard(self) -> None:
        """Remove the directory, unless it was renamed to its destination; raises OSError."""
        with self._mutex:
            if self._lock is not None:
                remove_tree(self._place, self._name)
                self._unlock()

    def _unlock(self) -> None:
        assert self._lock is not None
        os.close(self._lock)
        self._lock = None

    def _rename_to(self, target: str) -> bool:
        """Rename the directory; return whether it was exchanged with one that now has the temporary name."""
        if not _rename(self._place, self._name, target):
            return False
        with suppress(FileNotFoundError):  # another run removed it as abandoned
            if not self._is_ours(self._place.names(self._name)):
                _exchange(self._place, self._name, target)
                raise OutputError(f'{self._place.path}/{target} contains other files now: choose a new directory')
        return True

    def _remove(self, name: str, wait: bool) -> None:
        """Remove a directory that no run has locked; another run may remove it at the same time.

        With `wait`, wait for the lock; without, leave a locked directory alone.
        """
        descriptor = self._opened(name)
        if descriptor is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                remove_if_abandoned(descriptor, lambda: self._place.status(name),
                                    lambda: remove_tree(self._place, name), wait=wait)

    def _opened(self, name: str) -> int | None:
        """Open a directory; None if it is gone, or something else is there."""
        try:
            with self._place.directory(name) as directory:
                return os.dup(directory)
        except (FileNotFoundError, NotADirectoryError, WrongKind):
            return None


def _prefix(name: str) -> str:
    """Return how names of directories for this destination begin; a long name is replaced by its digest."""
    prefix = f'.{name}.occystrap-'
    if len(os.fsencode(prefix)) + 16 > _LONGEST_NAME:
        return f'.{Digest.of(os.fsencode(name)).hex[:32]}.occystrap-'
    return prefix


def check_place(path: str, marks: tuple[str, ...], kind: str) -> None:
    """Raise OutputError unless a directory can be made at `path`, also replacing an empty one or a `kind` of ours.

    One of ours, complete or damaged, has the last of `marks`, a directory, and no names but `marks`. Called before
    anything is downloaded.
    """
    target = os.path.realpath(path)
    with output_errors(path):
        check_parent(path, os.path.dirname(target))
        if not os.path.lexists(target):
            if os.path.islink(path):
                raise OutputError(f'{path} is a link that leads to no directory: choose a directory')
            return
        if not os.path.isdir(target) or os.path.ismount(target):
            raise OutputError(f'{path} is {"a mount point" if os.path.isdir(target) else "not a directory"}, which '
                              'cannot be replaced as a whole: choose a new directory')
        place = Beneath(target)
        names = place.names()
        if not may_replace(names, marks):
            others = sorted(set(names) - set(marks)) or names
            raise OutputError(f'{path} contains other files, such as {others[0]!r}, and is not a {kind}: choose a new '
                              'directory')
        if names:
            _require_plain(place, marks[-1])


def _require_plain(place: Beneath, name: str) -> None:
    """Raise WrongKind unless a directory has only files and directories below it."""
    for each in place.names(name):
        if place.is_directory(f'{name}/{each}'):
            _require_plain(place, f'{name}/{each}')
        else:
            place.size(f'{name}/{each}')


def may_replace(names: Collection[str], marks: tuple[str, ...]) -> bool:
    """Return whether a directory with these names in it is empty, or one of ours, complete or damaged."""
    return not names or marks[-1] in names and not set(names) - set(marks)


def _sync_file_system(descriptor: int) -> None:
    """Flush the whole file system of an open file to the device (syncfs(2)), which is faster than file by file."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _rename(place: Beneath, name: str, target: str) -> bool:
    """Rename a directory; return whether it was exchanged with one that is not empty."""
    with place.above(name) as (source, before), place.above(target) as (directory, after):
        try:
            os.rename(before, after, src_dir_fd=source, dst_dir_fd=directory)  # also replaces an empty directory
            return False
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    _exchange(place, name, target)
    return True


def _exchange(place: Beneath, one: str, other: str) -> None:
    with place.above(one) as (first, before), place.above(other) as (second, after):
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        if rename(first, os.fsencode(before), second, os.fsencode(after), _EXCHANGE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), f'{place.path}/{other}')
