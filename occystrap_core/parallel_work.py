"""The same work for each of several items, on the worker threads of a run."""
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from occystrap_core.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.errors import Cancelled

A = TypeVar('A')
B = TypeVar('B')


def in_parallel(threads: DaemonThreads, work: Callable[[A], B], items: Iterable[A], check: Callable[[], None],
                helping: bool) -> list[B]:
    """Return the result of `work` for each item; raises the exception of the first item that failed, and that of
    `check`.

    A worker thread that calls this takes part, and so does any caller with `helping`. It only waits for items that some
    thread has begun, so worker threads cannot wait for each other. Other callers only wait.
    """
    batch = _Batch(work, list(items), check)
    helping = helping or threads.is_current()
    tickets = [threads.submit(batch.work_through, urgent=True) for _ in range(min(batch.size, threads.count) - helping)]
    try:
        if helping:
            batch.work_through()
        else:
            next(completed(tickets, check), None)
        begun = [ticket for ticket in tickets if not ticket.cancel()]
        for ticket in completed(begun, check):
            ticket.result()
    except BaseException:
        batch.stop()
        give_up([ticket for ticket in tickets if not ticket.cancel()])
        raise
    return batch.results()


class _Batch(Generic[A, B]):
    """Items that several threads work through; after a failure no further item is begun."""

    def __init__(self, work: Callable[[A], B], items: Sequence[A], check: Callable[[], None]) -> None:
        self.size = len(items)
        self._work, self._check = work, check
        self._todo = iter(enumerate(items))
        self._done: dict[int, B] = {}
        self._failures: dict[int, BaseException] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def work_through(self) -> None:
        """Work on items that no thread has begun, until none is left."""
        while claim := self._claim():
            place, item = claim
            try:
                self._check()
                self._done[place] = self._work(item)
            except (Exception, Cancelled) as error:
                self._failures[place] = error
                self.stop()

    def stop(self) -> None:
        """Begin no further item."""
        self._stopped = True

    def results(self) -> list[B]:
        """Return the results in the order of the items; raises the exception of the first item that failed."""
        if not self._failures:
            return [self._done[place] for place in range(self.size)]
        error = self._failures[min(self._failures)]
        self._failures.clear()
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _claim(self) -> tuple[int, A] | None:
        with self._lock:
            return None if self._stopped else next(self._todo, None)
