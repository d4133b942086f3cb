"""The inputs of a run of very many images, which are not all kept open."""
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from occystrap_core.report.image_report import ImageReport
from occystrap_core.tasks.image_task import ImageTask


class OpenSources:
    """Closes the input of each source once it has been listed and its last image has ended."""

    def __init__(self) -> None:
        self._of: dict[int, _OpenSource] = {}
        self._open: dict[int, _OpenSource] = {}

    def of(self, parts: Iterator[Sequence[ImageTask]], closing: ExitStack) -> Iterator[Sequence[ImageTask]]:
        """Yield the tasks of a source; `closing` closes its input."""
        source = self._open[id(closing)] = _OpenSource(closing)
        for tasks in parts:
            source.used(len(tasks))
            self._of.update((id(task.report), source) for task in tasks)
            yield tasks
        self._left(source)

    def ended(self, report: ImageReport) -> None:
        """Record that an image has ended; called on any thread."""
        if source := self._of.pop(id(report), None):
            self._left(source)

    def close(self) -> None:
        """Close all that are open."""
        for source in [*self._open.values()]:
            source.closing.close()
        self._open.clear()

    def _left(self, source: '_OpenSource') -> None:
        if source.left():
            self._open.pop(id(source.closing), None)
            source.closing.close()


class _OpenSource:
    """An input and its number of users: its images, and the listing of them."""

    def __init__(self, closing: ExitStack) -> None:
        self.closing = closing
        self._users, self._lock = 1, threading.Lock()

    def used(self, count: int) -> None:
        """Count more images."""
        with self._lock:
            self._users += count

    def left(self) -> bool:
        """Count one user less; return whether it was the last."""
        with self._lock:
            self._users -= 1
            return not self._users
