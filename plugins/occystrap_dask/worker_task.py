"""What runs on a Dask worker: one task for a whole run, which takes work from a queue, and ends when nobody wants it.

The scheduler keeps an entry of each task for as long as it lives, so an image has no task of its own.
"""
import pickle
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Protocol

from distributed import Queue, Worker, get_worker

from occystrap_core.orders import worker_name

_LOOK = 0.5
_FIRST_WAIT, _WAIT = 0.1, 2.0
"""Seconds that a question for work waits at the scheduler, twice as long each time, but at most the latter: a worker
whose client died is held for as long."""
_LATE = 2.0
"""If the scheduler answers so much later than it was asked to, it was frozen."""
_AT_WORK = ('running', 'paused')
"""The states in which a worker does its work; one that is being retired interrupts it."""
DISMISSED = b''
"""Sent instead of work: there will be no more."""
BEGUN = b''
"""Answered once, before any work: this worker takes work from now on."""


class Work(Protocol):
    """What the core submits."""

    def __call__(self) -> Any:
        """Run the work."""

    def stop(self) -> None:
        """Interrupt the work."""


class _Runner:
    """Runs one work after another, and interrupts it on request."""

    def __init__(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """`is_wanted` returns whether anybody waits for an answer."""
        self._is_wanted = is_wanted
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._interrupted = False
        self.ended = threading.Event()
        self.unwanted = threading.Event()
        """Nobody waits for an answer any more."""

    def run(self, pickled: bytes) -> bytes:
        """Return the pickled result of a work, and its exception, one of which is None."""
        try:
            work: Work = pickle.loads(pickled)
            self._begin(work)
            return pickle.dumps((work(), None))
        except Exception as error:  # passed on to the client, whatever it is
            return _pickled(error)
        finally:
            with self._lock:
                self._work = None

    def _begin(self, work: Work) -> None:
        with self._lock:
            self._work = work
            if self._interrupted:
                work.stop()

    def interrupt(self) -> None:
        """Interrupt the work, and whatever is begun later."""
        with self._lock:
            self._interrupted = True
            if self._work:
                self._work.stop()

    def watch(self) -> None:
        """Interrupt the work when nobody wants it any more."""
        while not self.ended.wait(_LOOK):
            if not self._is_wanted():
                self.unwanted.set()
                self.interrupt()
                return

    def is_wanted_after(self, due: float) -> bool:
        """Return whether work is still wanted, now that the scheduler has answered what was `due` then.

        If it is late, it was frozen, and the client may have ended meanwhile: it tells so only after it has sent work.
        """
        return not self.unwanted.wait(_LATE if time.monotonic() > due + _LATE else 0)


_runners: dict[str, _Runner] = {}
"""What is running in this process, by the name of the queue that the work comes from."""


def take_work(orders: str, answers: str) -> None:
    """Run what comes by the queue `orders`, and put the answers into the queue `answers`.

    Ends when it is dismissed, cancelled, its client is gone, or the worker is being closed; what it has then is
    interrupted and not answered.
    """
    received, answered = Queue(orders), Queue(answers)
    runner = _runners[orders] = _Runner(_is_wanted(get_worker()))
    threading.Thread(target=runner.watch, name='order', daemon=True).start()
    try:
        answered.put([orders, BEGUN])
        while (work := _next(received, runner)) != DISMISSED:
            answer = runner.run(work)
            if not runner.unwanted.is_set():
                asked = time.monotonic()
                answered.put([orders, answer])
                runner.is_wanted_after(asked)
    finally:
        runner.ended.set()
        del _runners[orders]
        for _ in range(2):  # for the client, too, which may be dead
            received.close()
        answered.close()


def _next(received: Queue, runner: _Runner) -> bytes:
    """Return the next work, or DISMISSED."""
    seconds = _FIRST_WAIT
    while not runner.unwanted.is_set():
        asked = time.monotonic()
        with suppress(TimeoutError):
            work = bytes(received.get(timeout=seconds))
            return work if runner.is_wanted_after(asked + seconds) else DISMISSED
        seconds = min(2 * seconds, _WAIT)
    return DISMISSED


def _pickled(error: Exception) -> bytes:
    try:
        return pickle.dumps((None, error))
    except Exception:  # it has something that does not travel
        return pickle.dumps((None, RuntimeError(f'{type(error).__name__}: {error}')))


def interrupt(orders: Collection[str]) -> None:
    """Interrupt the work that came by these queues, all of one client; its results are still answered."""
    for name in orders:
        if runner := _runners.get(name):
            runner.interrupt()


def loaded() -> str:
    """Return the name of this worker; this also loads occystrap there."""
    return worker_name()


def _is_wanted(worker: Worker) -> Callable[[], bool]:
    """Return a function that tells whether anybody still waits for the current task; if not, the scheduler releases it.
    """
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == 'executing' and worker.status.name in _AT_WORK
    return is_wanted
