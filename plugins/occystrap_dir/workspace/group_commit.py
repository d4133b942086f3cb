"""Group commit: images that end at nearly the same time are added to a destination's list by one write.

The list contains all images, so writing it for each would take time quadratic in their number. The next write waits
nine times as long as the last one took: writing lists never takes more than a tenth of the time, and images hardly wait
while the list is short.
"""
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar('T')

_PATIENCE = 9
_LONGEST = 0.5
"""Longest wait of an image for others, in seconds."""
_MOST = 64
"""Most images that are written together, since each has files open."""
_POLL = 0.05


class GroupCommit(Generic[T]):
    """Writes items in groups: the first thread to arrive writes for all that are ready."""

    def __init__(self, write: Callable[[Sequence[T]], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`write` adds items to the list, durably. If it fails for a group, each item is written alone to get its own
        error."""
        self._write, self._clock = write, clock
        self._changed = threading.Condition()
        self._ready: list[T] = []
        self._results: dict[int, BaseException | None] = {}
        self._writing = False
        self._due = 0.0

    def add(self, item: T) -> None:
        """Take an item that is ready to be written."""
        with self._changed:
            self._ready.append(item)
            self._changed.notify_all()

    def wait(self, item: T, check: Callable[[], None]) -> None:
        """Return when an item that was added is written; raises its error, and what `check` raises while waiting."""
        while True:
            with self._changed:
                if id(item) in self._results:
                    error = self._results.pop(id(item))
                    break
                group = self._begun()
            if group:
                self._write_group(group)
            check()
        if error:
            raise error

    def _begun(self) -> list[T]:
        """Return the items to write now; none after waiting briefly. The caller holds the lock."""
        left = self._due - self._clock()
        if self._writing or (left > 0 and len(self._ready) < _MOST):
            self._changed.wait(_POLL if self._writing else min(left, _POLL))
            return []
        group, self._ready = self._ready[:_MOST], self._ready[_MOST:]
        self._writing = True
        return group

    def _write_group(self, group: Sequence[T]) -> None:
        begun = self._clock()
        results: dict[int, BaseException | None] = {}
        try:
            results = self._written(group)
        except BaseException as error:
            results = {id(item): error for item in group}
            raise
        finally:
            with self._changed:
                ended = self._clock()
                self._due = ended + min(_PATIENCE * (ended - begun), _LONGEST)
                self._writing = False
                self._results.update(results)
                self._changed.notify_all()

    def _written(self, group: Sequence[T]) -> dict[int, BaseException | None]:
        try:
            self._write(group)
            return dict.fromkeys(map(id, group))
        except Exception as error:
            if len(group) == 1:
                return {id(group[0]): error}
        return {key: error for item in group for key, error in self._written([item]).items()}
