"""Stopping all work that moves bytes: after a signal, or when a part of the work has failed."""
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_core.errors import Cancelled


class Cancellation:
    """A flag that a signal or a failed layer sets once, and that everything that moves bytes checks."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children = weakref.WeakSet[Cancellation]()
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Ask all threads of the run to stop."""
        with self._lock:
            self._event.set()
            children = list(self._children)
        for each in children:
            each.cancel()

    def child(self) -> 'Cancellation':
        """Return the cancellation of a part: it is set with this one, and may be set alone."""
        child = Cancellation()
        with self._lock:
            self._children.add(child)
            cancelled = self.cancelled
        if cancelled:
            child.cancel()
        return child

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._event.is_set()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Set the cancellation flag if a signal interrupts the block, so that cleanup does not wait."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception | GeneratorExit | Cancelled):
                self.cancel()
            raise

    def check(self) -> None:
        """Raise Cancelled if the run was asked to stop."""
        if self._event.is_set():
            raise Cancelled('interrupted')

    def wait(self, seconds: float) -> None:
        """Sleep; wake up and raise Cancelled if the run is asked to stop."""
        if self._event.wait(seconds):
            raise Cancelled('interrupted')
