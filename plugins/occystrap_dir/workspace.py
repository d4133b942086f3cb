"""The folder `.occystrap` in a destination: receipts, partial files, and who is at work there.

Each run holds a shared lock on `active` and has a mark in `temporary` while it works. Whoever is the last to leave gets
the lock alone; marks or files that are still there then tell of a run that was killed, failed or replaced something,
and what such runs left behind is removed. A mark can note names of files that are in question then.
"""
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from occystrap_core import Cancelled, sync_folder, writing
from occystrap_dir import locks
from occystrap_dir.writing import PartialFile, make_folder

T = TypeVar('T')

STATE = '.occystrap'
RECEIPTS = f'{STATE}/receipts'
_ATTEMPTS = 100


class Workspace:
    """One run's share of the state folder of a destination: `enter`, write partial files, `leave`."""

    def __init__(self, root: str, sync: bool) -> None:
        """`root` is the destination; with `sync` everything is flushed to the device before it becomes visible."""
        self.root, self.sync = root, sync
        self.receipts = f'{root}/{RECEIPTS}'
        self._state = f'{root}/{STATE}'
        self._temporary = f'{self._state}/temporary'
        self._mark = f'{self._temporary}/{secrets.token_hex(8)}.run'
        self._mutex = threading.Lock()
        self._partial: set[str] = set()
        self._active: int | None = None
        self._made_root = self._found_remains = self._ended = False

    def enter(self) -> None:
        """Make the folders and say that a run is at work; raises OutputError."""
        with writing(self.root):
            for attempt in range(_ATTEMPTS):
                try:
                    return self._enter()
                except FileNotFoundError:  # the last of other runs has just removed the empty folders
                    if attempt == _ATTEMPTS - 1:
                        raise

    def _enter(self) -> None:
        if not os.path.isdir(self.root):
            self._made_root |= make_folder(self.root)
        make_folder(self._state)
        self._active = self._join()
        make_folder(self._temporary)
        make_folder(self.receipts)
        os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))

    def _join(self) -> int:
        """Return the shared lock; whoever finds itself alone first removes the partial files of killed runs."""
        path = f'{self._state}/active'
        try:
            active = locks.take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return locks.take(path, fcntl.LOCK_SH)
        try:
            if os.path.isdir(self._temporary):
                self._found_remains = True
                self._take_over()
        finally:
            os.close(active)
        return locks.take(path, fcntl.LOCK_SH)

    def _take_over(self) -> None:
        """Remove what killed runs left here; what their marks note is in ours before theirs are gone."""
        self.note(self.noted())
        with os.scandir(self._temporary) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                elif entry.path != self._mark:
                    os.unlink(entry.path)

    def note(self, names: Collection[str]) -> None:
        """Keep the names of files that are to go unless something names them when the last run leaves.

        That is also known after this run was killed, and to nobody when it left clean. Raises OutputError, Cancelled.
        """
        with self._mutex, writing(self.root):
            self._check()
            with open(self._mark, 'a') as mark:
                mark.write(''.join(f'{name}\n' for name in names))

    def noted(self) -> set[str]:
        """Return what the marks of all runs note, for whoever is alone here; raises OSError."""
        with os.scandir(self._temporary) as entries:
            marks = [entry.path for entry in entries if entry.name.endswith('.run')]
        names: set[str] = set()
        for path in marks:
            with open(path, errors='replace') as mark:
                names.update(line.removesuffix('\n') for line in mark)
        return names

    def locked(self) -> AbstractContextManager[None]:
        """Hold, alone among all runs, the right to change what lists the images; raises OSError."""
        return locks.held(f'{self._state}/lock')

    @contextmanager
    def partial(self) -> Iterator[PartialFile]:
        """Give a new partial file, removed at the end unless it was moved; raises OutputError, Cancelled."""
        path = f'{self._temporary}/{secrets.token_hex(8)}'
        with self._mutex:
            self._check()
            self._partial.add(path)
            file = PartialFile(path, self.root, self.sync)
        try:
            yield file
        finally:
            file.discard()

    def write(self, data: bytes) -> str:
        """Write a small document to a partial file, flushed and closed; return its path; raises OutputError."""
        return self.filled(lambda write: write(data))[0]

    def filled(self, fill: Callable[[Callable[[bytes], None]], T]) -> tuple[str, T]:
        """Have `fill` write a partial file piece by piece; return its path, flushed and closed, and what `fill` did.

        Raises OutputError, and what `fill` raises.
        """
        path = f'{self._temporary}/{secrets.token_hex(8)}'
        with self._mutex:
            self._check()
            self._partial.add(path)
        file = PartialFile(path, self.root, self.sync)
        try:
            result = fill(file.write)
            file.complete()
        except BaseException:
            file.discard()
            raise
        return path, result

    def move(self, path: str, name: str) -> None:
        """Give the complete partial file at `path` the final name `name` below the destination, by one rename."""
        target = f'{self.root}/{name}'
        with writing(self.root):
            with self._mutex:
                self._check()
                if '/' in name:
                    make_folder(os.path.dirname(target))
                os.replace(path, target)
            if self.sync:
                sync_folder(os.path.dirname(target))

    def settle(self) -> None:
        """Flush the names in the destination to the device; raises OutputError."""
        if self.sync:
            with writing(self.root):
                sync_folder(self.root)

    def leave(self, clean: bool, sweep: Callable[[], None]) -> None:
        """End the run, and remove what is temporary; not `clean` when it leaves files that nothing names.

        The last run to leave calls `sweep`, which removes such files, if any run was not clean. What cannot be removed
        now is removed by the next run, so no OSError is raised.
        """
        with self._mutex:
            self._ended = True
        for path in self._partial | ({self._mark} if clean and not self._found_remains else set()):
            with suppress(OSError):
                os.unlink(path)
        active, self._active = self._active, None
        with suppress(OSError):
            if active is None:
                self._remove_root()
            elif locks.try_exclusive(active):
                self._tidy(sweep)
        if active is not None:
            os.close(active)

    def _tidy(self, sweep: Callable[[], None]) -> None:
        """Leave no trace but receipts; `active` goes last, since others may begin as soon as it is gone."""
        if _has_entries(self._temporary):
            sweep()
        shutil.rmtree(self._temporary)
        if _has_entries(self.receipts):
            return
        os.rmdir(self.receipts)
        with suppress(FileNotFoundError):
            os.unlink(f'{self._state}/lock')
        os.unlink(f'{self._state}/active')
        os.rmdir(self._state)
        self._remove_root()

    def _remove_root(self) -> None:
        if self._made_root and not _has_entries(self.root):
            os.rmdir(self.root)

    def _check(self) -> None:
        if self._ended:
            raise Cancelled(f'writing to {self.root} was given up')


def _has_entries(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entries)
