"""The threads of a run: for each destination of a source, threads that copy images and threads that verify them."""
import queue
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from occystrap_core.daemon_threads import DaemonThreads, give_up
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.source_use import SourceUse

REFUSALS = 3
"""How often an image is tried if a service refuses because of too many requests."""
_ABORTING = 1.3
"""Seconds that images get to notice a signal and clean up, since the process must end within two."""
_LOOK = 0.1


class LaneThreads:
    """For each destination as many threads of both kinds as images may be copied in parallel, so that no destination
    waits for another."""

    def __init__(self, images: int, settings: Settings, most: int | None = None) -> None:
        """`images` is the number of the run's images; of a very long run only `most` are started before others have
        ended."""
        self._count, self._settings, self._most = min(settings.images, images), settings, most
        self._copying = list[DaemonThreads]()
        self._verifying = list[DaemonThreads]()
        self._copies, self._checks = _Begun(settings), _Begun(settings)
        self._again: list[ImageTask] = []
        self._refusals: Counter[int] = Counter()
        """How often services have refused each image."""

    def again(self, task: ImageTask) -> bool:
        """Process a task again after all others, or in a long run after many others; return False after REFUSALS.

        The task opens its source again, since other destinations do not wait for it.
        """
        self._refusals[id(task.report)] += 1
        if self._refusals[id(task.report)] == REFUSALS:
            return False
        self._again.append(task._replace(use=SourceUse()))
        return True

    def later(self, task: ImageTask, work: Callable[[], None]) -> None:
        """Run further work on a copied image on another thread, while other images are copied."""
        self._checks.start(self._verifying[task.lane], work)

    def process(self, tasks: Iterable[ImageTask], process: Callable[[ImageTask], None],
                stop: Callable[[BaseException], None]) -> None:
        """Process all tasks, and the work that `later` adds.

        Raises the first exception, after current work has had time to clean up, and `stop` was called with the
        exception.
        """
        try:
            with self._stopping(stop):
                self._process(tasks, process)
                while self._again:
                    self._process(self._taken_again(), process)
                self._checks.wait(0)
        finally:
            for each in [*self._copying, *self._verifying]:
                each.close()

    def _process(self, tasks: Iterable[ImageTask], process: Callable[[ImageTask], None]) -> None:
        for task in tasks:
            self._start(task, process)
            if self._most:
                for each in self._taken_again() if len(self._again) >= self._most else ():
                    self._start(each, process)
                self._copies.wait(self._most)
                self._checks.wait(self._most)
        self._copies.wait(0)

    def _start(self, task: ImageTask, process: Callable[[ImageTask], None]) -> None:
        while len(self._copying) <= task.lane:
            lane = len(self._copying)
            self._verifying.append(DaemonThreads(self._count, f'verification-{lane}'))
            self._copying.append(DaemonThreads(self._count, f'image-{lane}'))
        self._copies.start(self._copying[task.lane], partial(process, task))

    def _taken_again(self) -> list[ImageTask]:
        tasks, self._again = self._again, []
        return tasks

    @contextmanager
    def _stopping(self, stop: Callable[[BaseException], None]) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._settings.cancellation.cancel()
            copies = self._copies.unfinished()
            give_up(copies, _ABORTING)
            stop(error)
            _add_leftovers(copies, error)
            raise


class _Begun:
    """Work that was started and has not been seen to end."""

    def __init__(self, settings: Settings) -> None:
        self._check = settings.cancellation.check
        self._futures = set[Future[None]]()
        self._done: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()

    def start(self, threads: DaemonThreads, work: Callable[[], None]) -> None:
        """Have threads run it; called on any thread."""
        future: Future[None] = Future()
        self._futures.add(future)  # before it starts, as a signal may arrive in between
        future.add_done_callback(self._done.put)
        threads.start(future, work)

    def unfinished(self) -> Collection[Future[None]]:
        """Return the work that has not been seen to end."""
        return list(self._futures)

    def wait(self, most: int) -> None:
        """Wait until at most `most` are unfinished; raises the first exception."""
        while len(self._futures) > most:
            try:
                future = self._done.get(timeout=_LOOK)
            except queue.Empty:
                self._check()
                continue
            self._check()
            self._futures.discard(future)
            future.result()


def _add_leftovers(copies: Iterable[Future[None]], reason: BaseException) -> None:
    """Add what images could not clean up to the reason for the stop."""
    for copy in copies:
        error = copy.exception() if copy.done() and not copy.cancelled() else None
        if error and error is not reason:
            for note in getattr(error, '__notes__', ()):
                reason.add_note(note)
