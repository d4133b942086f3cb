"""Threads that work through what they are given; unlike an executor's they never hold up the end of the process."""
import os
import queue
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar('R')

_LOOK = 0.1
"""Seconds between two looks at whether the run was asked to stop, by whoever waits for work to be done."""
_YIELDING = 10
"""How nice (setpriority(2)) threads are that yield: they get a tenth of a core that another thread wants."""
_GRACE = 1.0
"""Seconds that work gets to notice that it should stop; all that moves bytes looks at every chunk."""


class DaemonThreads:
    """Up to `count` threads, started when there is work for them; first come, first served."""

    def __init__(self, count: int, name: str, first: int | None = None) -> None:
        """`name` begins the threads' names; those beyond the `first`, if that is given, yield to all others.

        Of more layers at once than there are cores, that keeps the first and largest from ending last and alone.
        """
        self._count, self._name = count, name
        self._first = count if first is None else first
        self._todo: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Have `work` done; what it returns or raises is the future's."""
        future: Future[R] = Future()
        self.start(future, work)
        return future

    def start(self, future: Future[R], work: Callable[[], R]) -> None:
        """Have `work` done for a future that was made before, unless that is cancelled meanwhile."""
        self._todo.put((future, work))
        with self._lock:
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._count:
                name = f'{self._name}-{len(self._threads)}'
                yields = len(self._threads) >= self._first
                thread = threading.Thread(target=self._loop, args=(yields,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Let the threads end when all is done."""
        for _ in self._threads:
            self._todo.put(None)

    def _loop(self, yields: bool) -> None:
        if yields:  # on Linux a thread has a priority of its own, and the threads that it starts inherit it
            with suppress(OSError):  # a sandbox may refuse; it is only for speed
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _YIELDING)
        while (item := self._todo.get()) is not None:
            _do(*item)
            del item
            self._idle.release()


def _do(future: Future[R], work: Callable[[], R]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def completed(futures: Collection[Future[R]], check: Callable[[], object]) -> Iterator[Future[R]]:
    """Yield the futures as they are done; `check` is called in between, to stop the waiting by raising."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
        check()
        yield from done


def give_up(futures: Collection[Future[R]], seconds: float = _GRACE) -> bool:
    """Cancel what has not begun, wait a moment for what has; return whether all came to an end."""
    for future in futures:
        future.cancel()
    return not wait(futures, timeout=seconds).not_done
