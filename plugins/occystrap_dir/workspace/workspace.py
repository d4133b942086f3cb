"""The directory `.occystrap` in a destination: receipts, partial files, and who is at work there.

Each run holds a shared lock on `active` and has a mark in `temporary` while it works. Whoever is the last to leave gets
the lock alone; marks or files that are still there then tell of a run that was killed, failed or replaced something,
and what such runs left behind is removed. A mark can note names of files that are in question then.
"""
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from occystrap_core import Cancelled, OutputError
from occystrap_core.files import ImageError, is_current, output_errors, write_all
from occystrap_dir.workspace import locks
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.workspace_file import WorkspaceFile
from occystrap_dir.workspace.removal import remove_tree

T = TypeVar('T')

STATE = '.occystrap'
RECEIPTS = f'{STATE}/receipts'
LOCK = f'{STATE}/lock'
_ACTIVE = f'{STATE}/active'
_TEMPORARY = f'{STATE}/temporary'
_ATTEMPTS = 100
_LONGEST = 4096


class Workspace:
    """One run's share of the state directory of a destination: `enter`, write partial files, `leave`."""

    def __init__(self, root: str, sync: bool, mode: int | None = None) -> None:
        """`root` is the destination; with `sync` everything is flushed to the device before it becomes visible.

        `mode` is that of the destination if it is made, whatever the process's umask.
        """
        self._mode = mode
        self._withheld = 0 if mode is None else stat.S_IWOTH
        self.root, self.sync, self.place = root, sync, Beneath(root)
        self._mark = f'{_TEMPORARY}/{secrets.token_hex(8)}.run'
        self._noted: int | None = None
        self._mutex = threading.Lock()
        self._partial: set[str] = set()
        self._active: int | None = None
        self._made_root = self._found_remains = self._ended = False
        self.notes: list[str] = []
        """After `leave`: lines for people about what could not be removed."""

    def enter(self) -> None:
        """Make the directories and say that a run is at work; raises OutputError."""
        with output_errors(self.root):
            for attempt in range(_ATTEMPTS):
                try:
                    return self._enter()
                except FileNotFoundError:  # the last of other runs has just removed the empty directories
                    if attempt == _ATTEMPTS - 1:
                        raise

    def _enter(self) -> None:
        if not os.path.isdir(self.root):
            self._made_root |= _made(self.root, self._mode)
        self.place.make(STATE, 0o777 & ~self._withheld)
        self._active = self._join()
        for name in (_TEMPORARY, RECEIPTS):
            self.place.make(name, 0o777 & ~self._withheld)
        self._begin_mark()

    def _begin_mark(self) -> None:
        """Make the mark, unless it was made and is there."""
        if self._noted is None or not is_current(self._noted, lambda: self.place.status(self._mark)):
            self._noted = self.place.create(self._mark)

    def _join(self) -> int:
        """Return the shared lock; whoever finds itself alone first removes the partial files of killed runs."""
        try:
            active = locks.take(self.place, _ACTIVE, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return locks.take(self.place, _ACTIVE, fcntl.LOCK_SH)
        try:
            if self.place.status(_TEMPORARY):
                self._found_remains = True
                self._take_over()
        finally:
            os.close(active)
        return locks.take(self.place, _ACTIVE, fcntl.LOCK_SH)

    def _take_over(self) -> None:
        """Remove what killed runs left here; what their marks note is in ours before theirs are gone."""
        noted = self.noted()
        self._begin_mark()
        self.note(noted)
        for name in self.place.names(_TEMPORARY):
            if f'{_TEMPORARY}/{name}' != self._mark:
                remove_tree(self.place, f'{_TEMPORARY}/{name}')

    def note(self, names: Collection[str]) -> None:
        """Keep the names of files that are to go unless something names them when the last run leaves.

        That is also known after this run was killed, and to nobody when it left clean. Raises OutputError, Cancelled.
        """
        with self._mutex, output_errors(self.root):
            self._check()
            assert self._noted is not None
            write_all(self._noted, b''.join(os.fsencode(f'{name}\n') for name in names))

    def noted(self) -> set[str]:
        """Return what the marks of all runs note, for whoever is alone here; raises OSError."""
        names: set[str] = set()
        for mark in self.place.names(_TEMPORARY):
            if mark.endswith('.run'):
                with open(self.place.open(f'{_TEMPORARY}/{mark}'), errors='replace') as file:
                    while line := file.readline(_LONGEST):
                        names.add(line.removesuffix('\n'))
        return names

    def locked(self) -> AbstractContextManager[None]:
        """Hold, alone among all runs, the right to change what lists the images; raises OSError."""
        return locks.held(self.place, LOCK)

    @contextmanager
    def partial(self) -> Iterator[WorkspaceFile]:
        """Give a new partial file, removed at the end unless it was moved; raises OutputError, Cancelled."""
        file = self._new_partial()
        try:
            yield file
        finally:
            file.discard()

    def write(self, data: bytes, mode: int = 0o666) -> str:
        """Write a small document to a partial file, flushed and closed; return its name; raises OutputError."""
        return self.filled(lambda write: write(data), mode)[0]

    def filled(self, fill: Callable[[Callable[[bytes], None]], T], mode: int = 0o666) -> tuple[str, T]:
        """Have `fill` write a partial file piece by piece; return its name, flushed and closed, and what `fill` did.

        Raises OutputError, and what `fill` raises.
        """
        file = self._new_partial(mode)
        try:
            result = fill(file.write)
            file.complete()
        except BaseException:
            file.discard()
            raise
        return file.name, result

    def _new_partial(self, mode: int = 0o666) -> WorkspaceFile:
        name = f'{_TEMPORARY}/{secrets.token_hex(8)}'
        with self._mutex:
            self._check()
            self._partial.add(name)
            return WorkspaceFile(self.place, name, self.sync, mode & ~self._withheld)

    def move(self, partial: str, name: str) -> None:
        """Give a complete partial file the final name `name` below the destination, by one rename."""
        above = os.path.dirname(name)
        with output_errors(self.root):
            with self._mutex:
                self._check()
                if above:
                    self.place.make(above)
                self.place.rename(partial, name)
            if self.sync:
                self.place.sync(above)

    def settle(self) -> None:
        """Flush the names in the destination to the device; raises OutputError."""
        if self.sync:
            with output_errors(self.root):
                self.place.sync()

    def leave(self, clean: bool, sweep: Callable[[], None]) -> None:
        """End the run, and remove what is temporary; not `clean` when it leaves files that nothing names.

        The last run to leave calls `sweep`, which removes such files, if any run was not clean; that raises ImageError
        where it cannot tell which they are. What cannot be removed now is told in `notes`, and removed by the next run.
        """
        with self._mutex:
            self._ended = True
        for name in self._partial | ({self._mark} if clean and not self._found_remains else set()):
            with self.noting():
                self.place.unlink(name)
        active, self._active = self._active, None
        with self.noting():
            if active is None:
                self._remove_root()
            elif locks.try_exclusive(active):
                self._tidy(sweep)
        for descriptor in (active, self._noted):
            if descriptor is not None:
                with suppress(OSError):  # closed all the same, and nothing that must last was written to them
                    os.close(descriptor)
        self._noted = None

    def give_up(self, sweep: Callable[[], None]) -> None:
        """Leave after a failure; raises OutputError for what could not be removed."""
        self.leave(False, sweep)
        if self.notes:
            raise OutputError('; '.join(self.notes))

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Have `notes` tell of an OSError in the with block, which removes something; what is gone is no failure."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            note = (f'{self.root} keeps temporary files: {error.strerror or error}; the next run tries again to remove '
                    'them')
            self.notes += [] if note in self.notes else [note]

    def _tidy(self, sweep: Callable[[], None]) -> None:
        """Leave no trace but receipts; `active` goes last, since others may begin as soon as it is gone."""
        if self.place.names(_TEMPORARY):
            self._sweep_up(sweep)
        remove_tree(self.place, _TEMPORARY)
        if self.place.names(RECEIPTS):
            return
        self.place.rmdir(RECEIPTS)
        for name in (LOCK, _ACTIVE):
            self.place.unlink(name)
        self.place.remove_empty(STATE)
        self._remove_root()

    def _sweep_up(self, sweep: Callable[[], None]) -> None:
        try:
            sweep()
        except ImageError as error:
            self.notes.append(f'{self.root} keeps what no image names any more, as it cannot be told from what another '
                              f'one names: {error}')

    def _remove_root(self) -> None:
        if self._made_root and not os.listdir(self.root):
            Beneath(os.path.dirname(self.root)).remove_empty(os.path.basename(self.root))

    def _check(self) -> None:
        if self._ended:
            raise Cancelled(f'writing to {self.root} was given up')


def is_idle(root: str) -> bool:
    """Tell whether nobody is at work in a destination, nor has been killed there; raises OSError."""
    try:
        return not Beneath(root).names(_TEMPORARY)
    except FileNotFoundError:
        return True


def was_left(root: str, name: str) -> bool:
    """Tell whether a directory holds something that no run at work, or killed, can have put there; raises OSError."""
    with suppress(FileNotFoundError):  # asked before and after, as a run may begin or end meanwhile
        return is_idle(root) and bool(Beneath(root).names(name)) and is_idle(root)
    return False


def _made(root: str, mode: int | None) -> bool:
    """Make a destination, unless another run is faster; return whether it was made."""
    with suppress(FileExistsError):
        os.mkdir(root, 0o777 if mode is None else mode)
        if mode is not None:
            os.chmod(root, mode)
        return True
    return False
