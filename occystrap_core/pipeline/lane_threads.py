"""The threads of a run: for each destination of a source some that copy, and some that verify meanwhile."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from occystrap_core.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask

_ABORTING = 1.3
"""Seconds that images get to notice a signal and clean up: the process must end within two."""


class LaneThreads:
    """As many threads of both kinds for each destination as images may be at work, so that none waits for another."""

    def __init__(self, lanes: int, images: int, settings: Settings) -> None:
        """`lanes` is the number of destinations of a source, `images` that of the run."""
        count = min(settings.images, images)
        self._settings = settings
        self._copying = [DaemonThreads(count, f'image-{lane}') for lane in range(lanes)]
        self._verifying = [DaemonThreads(count, f'verification-{lane}') for lane in range(lanes)]
        self._checks: list[Future[None]] = []
        self._again: list[ImageTask] = []

    def again(self, task: ImageTask) -> None:
        """Have a task processed once more, when all others have been."""
        self._again.append(task)

    def later(self, task: ImageTask, work: Callable[[], None]) -> None:
        """Have work on an image that was copied done on another thread, while others are copied."""
        self._checks.append(self._verifying[task.lane].submit(work))

    def process(self, tasks: Sequence[ImageTask], process: Callable[[ImageTask], None],
                stop: Callable[[BaseException], None]) -> None:
        """Process all tasks, and what they leave for later.

        Raises the first exception, after everything at work has had time to clean up, and `stop` was called with it.
        """
        copies: list[Future[None]] = []
        try:
            with self._stopping(copies, stop):
                while tasks:
                    for task in tasks:
                        copies.append(Future())  # before it begins, as a signal may come in between
                        self._copying[task.lane].start(copies[-1], partial(process, task))
                    _wait(copies, self._settings)
                    tasks, self._again = self._again, []
                _wait(self._checks, self._settings)
        finally:
            for each in [*self._copying, *self._verifying]:
                each.close()

    @contextmanager
    def _stopping(self, copies: Sequence[Future[None]], stop: Callable[[BaseException], None]) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._settings.cancellation.cancel()
            give_up(copies, _ABORTING)
            stop(error)
            _add_leftovers(copies, error)
            raise


def _add_leftovers(copies: Iterable[Future[None]], reason: BaseException) -> None:
    """Add what images could not clean up to the reason for the stop."""
    for copy in copies:
        error = copy.exception() if copy.done() and not copy.cancelled() else None
        if error and error is not reason:
            for note in getattr(error, '__notes__', ()):
                reason.add_note(note)


def _wait(futures: Iterable[Future[None]], settings: Settings) -> None:
    """Wait until all are done; raises the first exception."""
    for future in completed(list(futures), settings.cancellation.check):
        future.result()
