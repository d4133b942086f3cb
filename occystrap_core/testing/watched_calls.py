"""Observing a plugin's file system calls, and making one of them fail, by Python's audit events (PEP 578)."""
import errno
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CHANGES = ('os.rename', 'os.link', 'os.symlink', 'os.mkdir', 'os.truncate')
_observers: list[Callable[[str, tuple[Any, ...]], None]] = []
_installed: list[bool] = []


@contextmanager
def observed(observer: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Call `observer` with each audit event of the block; an exception from it makes the call fail."""
    if not _installed:
        sys.addaudithook(_hook)  # cannot be removed again
        _installed.append(True)
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _observers:
        for observer in tuple(_observers):
            observer(event, arguments)


def written_path(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return the path that an event is about to write to or make; None if it changes nothing."""
    if event == 'open':
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return os.fsdecode(path) if writes and isinstance(path, str | bytes) else None
    if event not in _CHANGES:
        return None
    path = arguments[0 if event in ('os.mkdir', 'os.truncate') else 1]
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ''


def _fail(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


class FailingCall:
    """Makes the file system call with a number, counted on this thread from 0, fail as on a full disk, or does
    something else before it."""

    def __init__(self, number: int, react: Callable[[str], object] = _fail) -> None:
        self._number, self._react, self._thread = number, react, threading.get_ident()
        self.count = 0
        """How many calls were made."""

    @property
    def failed(self) -> bool:
        """Whether a call has failed."""
        return self.count > self._number

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        path = written_path(event, arguments)
        if path is None or path == os.devnull or threading.get_ident() != self._thread:
            return
        self.count += 1
        if self.count == self._number + 1:
            self._react(path)


class DeniedFile:
    """Makes opening a file fail as without permission, also for root."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event."""
        if event != 'open' or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path, _, flags = arguments
        name = os.fsdecode(path)  # may be relative to an open directory, which the event does not tell
        is_it = name == str(self._path) if os.path.isabs(name) else os.path.basename(name) == self._path.name
        if is_it and not (isinstance(flags, int) and flags & os.O_PATH):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)


class FlushedFiles:
    """Records what was flushed to the device (fsync, fdatasync, syncfs), and what got its name before that."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._flushed: set[tuple[int, int]] = set()
        self._names: list[tuple[str, tuple[int, int]]] = []
        """New names, in order, with the directories of each; removed when the directory is flushed."""
        self.count = 0
        self.early: list[str] = []
        """New names of files that were not flushed."""
        for name in ('fsync', 'fdatasync'):
            monkeypatch.setattr(os, name, self._flushing(getattr(os, name)))

    @property
    def unflushed_directories(self) -> list[str]:
        """The names after which their directory was not flushed."""
        return [name for name, _ in self._names]

    def is_flushed(self, path: Path) -> bool:
        """Return whether the content of a file was flushed."""
        return _identity(path.lstat()) in self._flushed

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event."""
        if event == 'ctypes.dlsym' and arguments[1] == 'syncfs':
            self.count += 1
            self._flushed.update(_identity(path.lstat()) for path in self._directory.rglob('*'))
            self._names.clear()
        elif event in ('os.rename', 'os.link'):
            self._named(_resolved(arguments[0], arguments[2]), _resolved(arguments[1], arguments[3]))

    def _named(self, old: str, new: str) -> None:
        if not new.startswith(f'{self._directory}/') or not os.path.lexists(old):
            return
        files = [path for path in [Path(old), *Path(old).rglob('*')] if stat.S_ISREG(path.lstat().st_mode)]
        self.early += [new for path in files if not self.is_flushed(path)]
        self._names.append((new, _identity(os.stat(os.path.dirname(new)))))

    def _flushing(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def flush(descriptor: Any) -> None:
            call(descriptor)
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            found = _identity(os.fstat(number))
            self._flushed.add(found)
            self._names = [each for each in self._names if each[1] != found]
            self.count += 1
        return flush


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _resolved(path: Any, directory: int) -> str:
    """Return the absolute path that a call names relative to an open directory."""
    base = os.readlink(f'/proc/self/fd/{directory}') if isinstance(directory, int) and directory >= 0 else os.getcwd()
    return os.path.join(base, os.fsdecode(path))
