"""Shared layers of several images of a run: the first image transfers one, the others find it at the destination."""
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.settings import Settings

R = TypeVar('R')


class SingleFlight:
    """Single flight per key: the first job runs, the others are queued without a thread and released together when it
    succeeds. If it fails, the next one is tried alone.
    """

    def __init__(self, threads: DaemonThreads) -> None:
        self._threads = threads
        self._done: set[Hashable] = set()
        self._waiting: dict[Hashable, list[tuple[Future[Any], Callable[[], Any]]]] = {}
        self._lock = threading.Lock()

    def submit(self, key: Hashable, work: Callable[[], R]) -> Future[R]:
        """Run `work` for a key; with key None it waits for no other."""
        future: Future[R] = Future()
        with self._lock:
            first = key is not None and key not in self._done
            if first and key in self._waiting:
                self._waiting[key].append((future, work))
                return future
            if first:
                self._waiting[key] = []
        self._start(future, work, key if first else None)
        return future

    def _start(self, future: Future[R], work: Callable[[], R], key: Hashable) -> None:
        if key is not None:
            future.add_done_callback(partial(self._ended, key))
        self._threads.start(future, work)

    def _ended(self, key: Hashable, future: Future[Any]) -> None:
        succeeded = not future.cancelled() and future.exception() is None
        with self._lock:
            waiting = self._waiting.pop(key)
            if succeeded:
                self._done.add(key)
            elif waiting:
                self._waiting[key] = waiting[1:]
        for other, work in waiting if succeeded else waiting[:1]:
            self._start(other, work, None if succeeded else key)


def layer_jobs(settings: Settings) -> SingleFlight:
    """Return the function that runs layers of all images: on `settings.jobs` threads, each shared layer once for each
    place."""
    return settings.shared.get((SingleFlight, settings.lane), lambda: SingleFlight(settings.workers()))
