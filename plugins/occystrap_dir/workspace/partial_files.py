"""Files that a run writes to a destination: under temporary names, then renamed, related ones together."""
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from occystrap_core import Cancelled
from occystrap_core.files import output_errors
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.workspace_file import WorkspaceFile

T = TypeVar('T')

STATE = '.occystrap'
TEMPORARY = f'{STATE}/temporary'


class PartialFiles:
    """The partial files of one run, made on any thread until it is stopped."""

    def __init__(self, root: str, sync: bool, mode: int | None) -> None:
        """`mode` is that of the destination; unless it is None, other users must not write to the files."""
        self._withheld = 0 if mode is None else stat.S_IWOTH
        self.root, self.sync, self.place = root, sync, Beneath(root)
        self._mutex = threading.RLock()
        self._partial: set[str] = set()
        self._ended = False

    @contextmanager
    def partial(self) -> Iterator[WorkspaceFile]:
        """Yield a new partial file, removed at the end unless it was moved; raises OutputError, Cancelled."""
        file = self._new_partial()
        try:
            yield file
        finally:
            file.discard()

    def write(self, data: bytes, mode: int = 0o666) -> str:
        """Write a document to a partial file, flush and close it, and return its name; raises OutputError."""
        return self.filled(lambda write: write(data), mode)[0]

    def filled(self, fill: Callable[[Callable[[bytes], None]], T], mode: int = 0o666) -> tuple[str, T]:
        """Call `fill` with a function that writes to a partial file; return the file's name and the result of `fill`.

        The file has been flushed and closed then. Raises OutputError, and what `fill` raises.
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
        name = f'{TEMPORARY}/{os.urandom(8).hex()}'
        with self._mutex:
            self._check()
            self._partial.add(name)
            return WorkspaceFile(self.place, name, self.sync, mode & ~self._withheld)

    def move(self, partial: str, name: str) -> None:
        """Rename a complete partial file to `name` below the destination; raises OutputError, Cancelled."""
        self.move_all({partial: name})

    def move_all(self, partial: Mapping[str, str]) -> None:
        """Rename complete partial files to their names, in order, and flush each directory once; raises as `move`."""
        with self.undisturbed():
            for temporary, name in partial.items():
                self._rename(temporary, name)
        for above in dict.fromkeys(map(os.path.dirname, partial.values())) if self.sync else ():
            with output_errors(self.root):
                self.place.sync(above)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Make a `leave` on another thread wait for the end of the block, whose changes belong together.

        Raises OutputError, and Cancelled before the block if the run has left.
        """
        with output_errors(self.root), self._mutex:
            self._check()
            yield

    def _rename(self, partial: str, name: str) -> None:
        if above := os.path.dirname(name):
            self.place.make(above)
        self.place.rename(partial, name)

    def settle(self) -> None:
        """With sync, flush the names in the destination to the device; raises OutputError."""
        if self.sync:
            with output_errors(self.root):
                self.place.sync()

    def stop(self) -> None:
        """Make every later change raise Cancelled, after changes in progress that belong together."""
        with self._mutex:
            self._ended = True

    def _check(self) -> None:
        if self._ended:
            raise Cancelled(f'writing to {self.root} was cancelled')
