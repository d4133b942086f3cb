"""The directory `.occystrap` in a destination: receipts, partial files, and the locks of the runs that write there.

While a run writes, it holds a shared lock on `active` and has a mark, a file in `temporary`. The last run to leave gets
the lock exclusively. Marks and partial files that exist then belong to runs that were killed, failed or replaced
something; it removes what those left. Blobs of an interrupted run are kept in `kept` for the next one.
"""
import fcntl
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from occystrap_core import OutputError
from occystrap_core.files import ImageError, KeptBeside, output_errors
from occystrap_core.oci import Descriptor, Digest
from occystrap_dir.workspace import locks
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.destination import made
from occystrap_dir.workspace.kept_blobs import KeptBlobs, KeptFile
from occystrap_dir.workspace.run_marks import Marks
from occystrap_dir.workspace.partial_files import STATE, TEMPORARY, PartialFiles
from occystrap_dir.workspace.removal import remove_tree

RECEIPTS = f'{STATE}/receipts'
LOCK = f'{STATE}/lock'
KEPT = f'{STATE}/kept'
_ACTIVE = f'{STATE}/active'
_ATTEMPTS = 100


class Workspace(PartialFiles):
    """The state directory of a destination, as one run uses it: `enter`, write partial files, `leave`."""

    def __init__(self, root: str, sync: bool, mode: int | None = None,
                 final: Callable[[Digest], str] = str) -> None:
        """`root` is the destination; with `sync` everything is flushed to the device before it becomes visible.

        `mode` is the mode of the destination if it is made, whatever the process's umask. `final` returns the name of a
        blob, for destinations that keep those of interrupted runs.
        """
        super().__init__(root, sync, mode)
        self._mode = mode
        self._marks = Marks(self.place, TEMPORARY)
        self._kept, self._final = KeptBlobs(self.place, KEPT, sync, final), final
        self._finished, self._dropped = set[Digest](), set[Digest]()
        self._leaving = threading.Lock()
        self._active: int | None = None
        self._made_root = self._found_remains = self._was_clean = False
        self.notes: list[str] = []
        """After `leave`: lines for the user about what could not be removed."""

    def enter(self) -> None:
        """Make the directories, take the lock and make the mark; raises OutputError."""
        with output_errors(self.root):
            for attempt in range(_ATTEMPTS):
                try:
                    return self._enter()
                except FileNotFoundError:  # another run, the last to leave, has just removed the empty directories
                    if attempt == _ATTEMPTS - 1:
                        raise

    def _enter(self) -> None:
        if not os.path.isdir(self.root):
            self._made_root |= made(self.root, self._mode)
        self.place.make(STATE, 0o777 & ~self._withheld)
        self._active = self._join()
        for name in (TEMPORARY, RECEIPTS):
            self.place.make(name, 0o777 & ~self._withheld)
        self._marks.begin()

    def _join(self) -> int:
        """Return the shared lock; a run that is alone first removes the partial files of killed runs."""
        try:
            active = locks.take(self.place, _ACTIVE, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return locks.take(self.place, _ACTIVE, fcntl.LOCK_SH)
        try:
            if self.place.status(TEMPORARY):
                self._found_remains = True
                self._marks.take_over()
        finally:
            os.close(active)
        return locks.take(self.place, _ACTIVE, fcntl.LOCK_SH)

    def note(self, names: Collection[str]) -> None:
        """Add names to the mark: files that the last run to leave removes unless an image refers to them.

        If this run is killed the mark remains; if it leaves clean the mark is dropped. Raises OutputError, Cancelled.
        """
        with self._mutex, output_errors(self.root):
            self._check()
            self._marks.note(names)

    def note_blob(self, digest: Digest) -> None:
        """Note a complete blob: it is kept for the next run if no image refers to it when the last run leaves.

        Raises as `note`.
        """
        self._finished.add(digest)
        self.note([self._final(digest), f'+{digest}'])

    def noted(self) -> set[str]:
        """Return the names in the marks of all runs, for a run that is alone; raises OSError."""
        return self._marks.names()

    def keep_blobs(self, named: Collection[str]) -> None:
        """Keep the complete blobs of interrupted runs that are not `named`; for a run that is alone. Raises OSError."""
        for digest in self._marks.finished() - self._dropped:
            if self._final(digest) not in named:
                self._kept.keep(digest)

    def locked(self) -> AbstractContextManager[None]:
        """Prevent all other runs from changing the list of images during the with block; raises OSError."""
        return locks.held(self.place, LOCK)

    def growing(self, digest: Digest) -> AbstractContextManager[KeptFile | None]:
        """Yield a file with the kept beginning of a blob, or a new one; None if that is not possible.

        It is kept if the block is interrupted or a service fails; otherwise it is removed, unless it was moved. Raises
        Cancelled.
        """
        with self._mutex:
            self._check()
            return self._kept.held(digest, self._kept.open(digest))

    def beside(self, blob: Descriptor) -> AbstractContextManager[KeptBeside | None]:
        """Yield the same for a blob that is kept in addition to what is made from it; raises Cancelled."""
        with self._mutex:
            self._check()
            return self._kept.held(blob.digest, self._kept.open_beside(blob))

    def release(self, digests: Iterable[Digest]) -> None:
        """Note blobs that are no longer needed, so that the last run to leave removes what is kept of them."""
        self._kept.needless.update(digests)

    def adopt(self, digest: Digest, expected: int | None) -> int | None:
        """Move a complete kept blob to its final name, after hashing it, and return its size in bytes.

        None if there is none of the `expected` size, or a damaged one, which is removed. Raises OutputError, Cancelled.
        """
        with output_errors(self.root):
            size = self._kept.size(digest)
            if not size or expected not in (None, size):
                return None
            with self.growing(digest) as file:
                if file is None or self.place.hash(file.name, digest.algorithm)[0] != digest:
                    return None
                self.note_blob(digest)
                self.move(file.name, self._final(digest))
                return size

    def leave(self, clean: bool, sweep: Callable[[], None]) -> None:
        """End the run and remove its temporary files; `clean` is False if it leaves files that no image refers to.

        If any run was not clean, the last one to leave calls `sweep`, which removes such files, and raises ImageError
        if it cannot determine which they are. `notes` says what could not be removed; the next run tries again. If a
        signal interrupts this call, another call completes it, whatever its `clean`. A concurrent call waits until this
        one ends, since the process may end after either.
        """
        self.stop()
        with self._leaving:
            self._leave(clean, sweep)

    def _leave(self, clean: bool, sweep: Callable[[], None]) -> None:
        self._was_clean |= clean
        for name in self._partial | ({self._marks.name} if self._was_clean and not self._found_remains else set()):
            with self.noting():
                self.place.unlink(name)
        with self.noting():
            if self._active is None:
                self._remove_root()
            elif locks.try_exclusive(self._active):
                self._tidy(sweep)
        descriptors, self._active = (self._active, self._marks.close()), None
        for descriptor in descriptors:
            if descriptor is not None:
                with suppress(OSError):  # closed in any case, and nothing that must last was written to it
                    os.close(descriptor)

    def tidy(self, sweep: Callable[[], None]) -> None:
        """Only remove leftovers of killed runs, for a run that writes nothing; other active runs do so when they leave.

        What cannot be removed is left to the next run.
        """
        with suppress(OSError, OutputError):
            if self.place.status(TEMPORARY) or self.place.status(KEPT):
                self.enter()
                self.leave(True, sweep)

    def give_up(self, sweep: Callable[[], None], keep: bool = False) -> dict[Digest, int]:
        """Leave after a failure; raises OutputError for what could not be removed.

        With `keep`, return how many bytes of which blobs are kept for the next run; otherwise nothing is kept.
        """
        if not keep:
            self._drop_blobs()
        self.leave(False, sweep)
        kept = self._kept.sizes(self._finished) if keep else {}
        if self.notes:
            raise OutputError('; '.join(self.notes))
        return kept

    def _drop_blobs(self) -> None:
        self.stop()
        self._dropped, self._finished = self._dropped | self._finished, set()
        with suppress(OSError):  # on a full disk; then the last run to leave keeps them for a week
            self._marks.note([f'-{digest}' for digest in self._dropped])
        with self.noting():
            self._kept.drop()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Add an OSError in the with block, which removes something, to `notes`; a missing file is not an error."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as error:
            note = (f'{self.root} keeps temporary files: {error.strerror or error}; the next run tries again to remove '
                    'them')
            self.notes += [] if note in self.notes else [note]

    def _tidy(self, sweep: Callable[[], None]) -> None:
        """Remove everything but receipts; `active` last, since another run may begin as soon as it is gone."""
        if self.place.is_directory(TEMPORARY):
            if self.place.names(TEMPORARY):
                self._sweep_up(sweep)
            remove_tree(self.place, TEMPORARY)
        self._kept.tidy()
        if self.place.is_directory(RECEIPTS):
            if self.place.has_entries(RECEIPTS):
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
            self.notes.append(f'{self.root} keeps files that no image uses any more, as it is unknown which ones other '
                              f'images use: {error}')

    def _remove_root(self) -> None:
        if self._made_root and not os.listdir(self.root):
            Beneath(os.path.dirname(self.root)).remove_empty(os.path.basename(self.root))
