"""Makes orders on a thread while others are executed, so that a source that is slow to list does not delay the others.
"""
import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from occystrap_core.bulk.jobs import Job
from occystrap_core.cancellation import Cancellation
from occystrap_core.errors import Cancelled
from occystrap_core.orders import ImageDone

_MOST = 1000
"""Most orders that are made before they are needed."""
_LOOK = 0.1


class OrdersAhead(Iterator[Job | ImageDone | None]):
    """Jobs, and results of images that cannot become jobs, made on a thread of its own; None while the next is not
    ready.

    `close` ends the thread.
    """

    def __init__(self, cancellation: Cancellation) -> None:
        """`cancellation` is for this thread only."""
        self._cancellation = cancellation
        self._made: queue.Queue[Job | ImageDone] = queue.Queue(_MOST)
        self._error: BaseException | None = None
        self._first: list[Job | ImageDone] = []
        self._thread: threading.Thread | None = None

    def start(self, jobs: Iterable[Job], count: int, check: Callable[[], None]) -> None:
        """Start making them, and wait for the first `count`; raises what making them raises, and what `check` raises.
        """
        self._thread = threading.Thread(target=self._make, args=(jobs,), name='orders', daemon=True)
        self._thread.start()
        while len(self._first) < count:
            check()
            try:
                self._first.append(self._get(_LOOK))
            except queue.Empty:
                continue
            except StopIteration:
                break

    def put(self, made: Job | ImageDone) -> None:
        """Add one, on the thread that makes them; waits while the queue is full. Raises Cancelled after `close`."""
        while True:
            self._cancellation.check()
            try:
                return self._made.put(made, timeout=_LOOK)
            except queue.Full:
                continue

    def __next__(self) -> Job | ImageDone | None:
        """Return the next, None if it is not ready; raises StopIteration at the end, and what making them raised."""
        if self._first:
            return self._first.pop(0)
        try:
            return self._get(0)
        except queue.Empty:
            return None

    def close(self) -> None:
        """End the thread; it may still be waiting for a server."""
        self._cancellation.cancel()
        if self._thread:
            self._thread.join(1)

    def _get(self, seconds: float) -> Job | ImageDone:
        assert self._thread
        is_over = not self._thread.is_alive()  # read before the queue, since the thread may add a last one and end
        try:
            return self._made.get(timeout=seconds) if seconds else self._made.get_nowait()
        except queue.Empty:
            if not is_over:
                raise
        if self._error:
            raise self._error
        raise StopIteration

    def _make(self, jobs: Iterable[Job]) -> None:
        try:
            for each in jobs:
                self.put(each)
        except (Exception, Cancelled) as error:
            self._error = error
