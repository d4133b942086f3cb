"""Threads that work through a queue; unlike those of an executor they never delay the end of the process."""
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

R = TypeVar('R')
_Job = tuple[int, int, Future[Any] | None, Callable[[], Any] | None]
_URGENT, _USUAL, _LAST = range(3)

_LOOK = 0.1
"""Seconds between two checks for cancellation while waiting for work to be done."""
_YIELDING = 10
"""The nice value (setpriority(2)) of threads that yield: they get a tenth of a core that another thread uses."""
_GRACE = 1.0
"""Seconds that work gets to notice a cancellation; everything that moves bytes checks for it at every chunk."""


class DaemonThreads:
    """Up to `count` threads, started when there is work for them; urgent work first, then first come, first served."""

    def __init__(self, count: int, name: str, first: int | None = None) -> None:
        """`name` is the prefix of the threads' names. If `first` is given, threads beyond that number yield to all
        others.

        With more layers in parallel than cores, this keeps the first and largest from being the last to end.
        """
        self.count, self._name = count, name
        self._first = count if first is None else first
        self._todo: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ending = weakref.finalize(self, _end, self._todo, self._threads)  # if nobody closes it
        self._ending.atexit = False

    def submit(self, work: Callable[[], R], urgent: bool = False) -> Future[R]:
        """Queue `work`; the future has its result or exception."""
        future: Future[R] = Future()
        self.start(future, work, urgent)
        return future

    def start(self, future: Future[R], work: Callable[[], R], urgent: bool = False) -> None:
        """Queue `work` for a given future, unless it is cancelled meanwhile."""
        self._todo.put((_URGENT if urgent else _USUAL, next(self._numbers), future, work))
        with self._lock:
            if not self._idle.acquire(blocking=False) and len(self._threads) < self.count:
                name = f'{self._name}-{len(self._threads)}'
                priority = _YIELDING if len(self._threads) >= self._first else 0
                thread = threading.Thread(target=_loop, args=(self._todo, self._idle, priority), name=name, daemon=True)
                self._threads.append(thread)  # before it starts: its work may call is_current
                try:
                    thread.start()
                except RuntimeError:  # no more threads are permitted: the existing ones do the work later
                    self._threads.remove(thread)
                    if not self._threads:
                        raise

    def is_current(self) -> bool:
        """Return whether the current thread is one of these."""
        return threading.current_thread() in self._threads

    def close(self) -> None:
        """End the threads when all work is done."""
        self._ending()


def _end(todo: 'queue.PriorityQueue[_Job]', threads: Sequence[threading.Thread]) -> None:
    for number in range(len(threads)):
        todo.put((_LAST, number, None, None))


def _loop(todo: 'queue.PriorityQueue[_Job]', idle: threading.Semaphore, priority: int) -> None:
    if priority:  # on Linux each thread has its own priority, which the threads it starts inherit
        with suppress(OSError):  # a sandbox may refuse; it only affects speed
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), priority)
    while True:
        _, _, future, work = todo.get()
        if future is None or work is None:
            return
        _do(future, work)
        del future, work
        idle.release()


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
    """Yield the futures as they are done; `check` is called in between, and ends the waiting by raising.

    Each future reports itself, since polling thousands of futures after each one would take long. It reports its
    number: a queue of futures that refer to the queue would be kept until garbage is collected.
    """
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    pending = dict(enumerate(dict.fromkeys(futures)))
    for number, future in [*pending.items()]:
        future.add_done_callback(partial(_put, done, number))
    while pending:
        try:
            number = done.get(timeout=_LOOK)
        except queue.Empty:
            check()
            continue
        future = pending.pop(number)
        check()
        yield future


def _put(done: 'queue.SimpleQueue[int]', number: int, future: Future[R]) -> None:
    done.put(number)


def give_up(futures: Collection[Future[R]], seconds: float = _GRACE) -> bool:
    """Cancel work that has not begun, wait briefly for the rest; return whether all of it ended."""
    for future in futures:
        future.cancel()
    return not wait(futures, timeout=seconds).not_done
