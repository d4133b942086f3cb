"""Running one function for several layers at once, and stopping all of them when one fails or a signal comes."""
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar('T')
R = TypeVar('R')

_GRACE = 1.0
"""Seconds that threads get to notice that they should stop; all of them look at every chunk."""


class LayerThreads(Generic[T, R]):
    """Daemon threads that work through a list; unlike an executor's they never hold up the end of the process."""

    def __init__(self, work: Callable[[T], R], count: int, stop: Callable[[], None]) -> None:
        """`stop` is called once when a piece of work fails, so that the others end soon."""
        self._work, self._count, self._stop = work, count, stop
        self._todo: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[R | BaseException] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def run(self, items: Sequence[T]) -> Iterator[R]:
        """Yield the results as they come; raises the first failure, after the other threads have stopped."""
        for item in items:
            self._todo.put(item)
        try:
            self._start(min(self._count, len(items)))
            for _ in items:
                result = self._done.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        except BaseException:
            self._halt()
            raise

    def _start(self, count: int) -> None:
        for number in range(count):
            thread = threading.Thread(target=self._loop, name=f'layer-{number}', daemon=True)
            thread.start()
            self._threads.append(thread)

    def _loop(self) -> None:
        while True:
            try:
                item = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._done.put(self._work(item))
            except BaseException as error:
                self._done.put(error)
                return

    def _halt(self) -> None:
        self._stop()
        with suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
