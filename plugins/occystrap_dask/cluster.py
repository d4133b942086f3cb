"""The workers of a cluster: each gets one image at a time.

Dask never retries an image: this module and the core decide that.
"""
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import distributed

from occystrap_core import OccystrapError
from occystrap_dask import worker_probe
from occystrap_dask.heartbeats import Heartbeats
from occystrap_dask.scheduler import Scheduler
from occystrap_dask.work_queues import Taker, WorkQueues, result_of
from occystrap_dask.worker_probe import error_text

_LOOK, _SHORT = 0.5, 0.05
_PROBES = 32
"""Number of workers that are probed at once."""
_GRACE = 2.5
"""Seconds for interrupted images to report what they have kept for the next run."""
_PARTING = 1.0
"""Seconds for telling the workers that the run has ended; without that they notice it two seconds later."""


class Cluster(Executor):
    """The workers of a scheduler, including those that join later."""

    def __init__(self, scheduler: Scheduler, frozen: float, note: Callable[[str], None]) -> None:
        """`frozen`: after this many seconds without a heartbeat a worker is given up."""
        self._scheduler, self._frozen, self._note = scheduler, frozen, note
        self._lock = threading.RLock()
        self._fit: dict[str, bool] = {}
        """The known workers, and whether each can be used."""
        self._takers: dict[str, Taker] = {}
        """Those of the workers that can be used, and of others that still have an image."""
        self._asked: dict[str, Future[None]] = {}
        """The workers that are being probed."""
        self._probes = ThreadPoolExecutor(_PROBES, 'probe')
        self._names: dict[str, str] = {}
        """What the workers call themselves."""
        self._denied = set[str]()
        """The names of those that are left out, also if they are gone for a while."""
        self._waiting: deque[tuple[bytes, Future[Any]]] = deque()
        """Pickled work that no worker has begun, each with its future."""
        self._heartbeats = Heartbeats(frozen)
        self._ended = False
        self._lost: OccystrapError | None = None
        self._queues = WorkQueues(scheduler.client, self._begun, self._answered, self._broke)

    def begin(self, count: int, seconds: float) -> int:
        """Wait for `count` workers, or at least one; return their number."""
        until = time.monotonic() + seconds
        self._look()
        wait([*self._asked.values()], max(seconds, worker_probe.PATIENCE))
        self._wait_for_takers()
        while (found := len(self._usable())) < count and time.monotonic() < until:
            time.sleep(_LOOK)
            self._look()
        if not found:
            raise self._scheduler.without_workers()
        threading.Thread(target=self._watch, name='dask', daemon=True).start()
        return found

    def _wait_for_takers(self) -> None:
        """Wait until all have begun, but not for those of workers that are busy with something else."""
        until = time.monotonic() + worker_probe.PATIENCE
        while (late := self._late()) and time.monotonic() < until:
            time.sleep(_SHORT)
        for taker in late:
            self._note(f'worker {taker.worker} is busy with something else, and is used when that has ended')

    def _late(self) -> list[Taker]:
        with self._lock:
            return [each for each in self._takers.values() if not each.has_begun]

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Queue work for the next idle worker; raises ServiceUnavailable if there is no scheduler."""
        assert not args and not kwargs
        future: Future[Any] = Future()
        pickled = pickle.dumps(work)
        with self._lock:
            if self._lost:
                raise self._lost
            self._waiting.append((pickled, future))
        self._send()
        return future

    def _send(self) -> None:
        """Give waiting work to idle workers."""
        with self._lock:
            while not self._ended and self._waiting and (idle := self._idle()):
                work, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    idle.future = future
                    self._queues.send(idle, work)

    def _idle(self) -> Taker | None:
        """Return the taker of an idle worker, if there is one."""
        return next((each for each in self._usable() if not each.future), None)

    def _usable(self) -> list[Taker]:
        """Return the takers that may get work, now or after what they have."""
        with self._lock:
            return [taker for worker, taker in self._takers.items() if taker.has_begun and self._fit.get(worker)]

    def at_work(self) -> list[str]:
        """Return the names of the workers that have an image."""
        with self._lock:
            return [self._names.get(each.worker, each.worker) for each in self._busy()]

    def _busy(self) -> list[Taker]:
        return [each for each in self._takers.values() if each.future]

    def leave_out(self, worker: str, why: str) -> None:
        """Give no more work to a worker, identified by its own name."""
        with self._lock:
            found = [address for address, name in self._names.items() if name == worker and address in self._fit]
            self._fit.update(dict.fromkeys(found, False))
            self._denied.add(worker)
        for address in found:
            self._note(f'worker {worker} ({address}) is left out: {why}; log in there with occystrap login, or end it')

    def stop(self) -> None:
        """Make the workers interrupt their work, and disconnect from the scheduler."""
        self._ended = True
        self._probes.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            busy = {taker: taker.future for taker in self._busy() if taker.future}
            takers = [*self._takers.values()]
        if busy and not self._lost:
            self._queues.interrupt(list(busy))
            wait(busy.values(), _GRACE)
        self._queues.end(takers, 0.0 if self._lost else _PARTING)
        self._scheduler.close()

    def _taker(self, name: str) -> Taker | None:
        """Return the taker with a queue of this name, unless its worker was given up."""
        with self._lock:
            return next((each for each in self._takers.values() if each.name == name), None)

    def _begun(self, name: str) -> None:
        """Use a worker from now on; if its task has begun before, another process has the address, and the work is
        lost."""
        taker = self._taker(name)
        if taker and taker.has_begun:
            self._give_up(taker.worker, 'was started again')
        elif taker:
            taker.has_begun = True
            self._send()

    def _answered(self, name: str, answer: bytes) -> None:
        """Pass on an answer, unless its worker was given up, and give the worker new work."""
        if taker := self._taker(name):
            self._free(taker, *result_of(answer))

    def _free(self, taker: Taker, result: Any, error: BaseException | None) -> None:
        with self._lock:
            future, taker.future = taker.future, None
        if future and error:
            future.set_exception(error)
        elif future:
            future.set_result(result)
        if not self._lost:
            self._send()

    def _watch(self) -> None:
        since = time.monotonic()
        while not self._ended:
            try:
                self._look()
                self._send()
            except Exception as error:
                self._broke(error)
                return
            since = time.monotonic() if self._usable() else since
            if time.monotonic() - since > self._frozen:
                self._lose(self._scheduler.abandoned())
                return
            time.sleep(_LOOK)

    def _broke(self, error: Exception) -> None:
        """End the run for an error of the connection to the scheduler, or of this module."""
        if not self._ended:
            self._lose(self._scheduler.error_of(error))

    def _lose(self, error: OccystrapError) -> None:
        """Fail all futures that are waiting."""
        with self._lock:
            self._lost = self._lost or error
            waiting, self._waiting = [future for _, future in self._waiting], deque()
            busy = self._busy()
        for taker in busy:
            self._free(taker, None, error)
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _look(self) -> None:
        """Update the list of workers: probe new ones, and give up those that are gone, retired, or frozen."""
        workers = self._scheduler.workers()
        known = set(workers).difference(self._heartbeats.frozen(workers))
        for worker in [*self._fit]:
            if worker not in known:
                silent = worker in workers
                self._give_up(worker, f'did not respond for {self._frozen:.0f} s' if silent else 'is gone')
        for worker in known:
            if worker not in self._fit and (worker not in self._asked or self._asked[worker].done()):
                self._asked[worker] = self._probes.submit(self._take, worker)

    def _give_up(self, worker: str, why: str, for_good: bool = False, only: Taker | None = None) -> None:
        """Take back the work of a worker, which may be used again if it is there again; with `only`, if that is still
        its taker."""
        with self._lock:
            if only and self._takers.get(worker) is not only:
                return
            self._fit.pop(worker, None)
            self._asked.pop(worker, None)
            if for_good:
                self._fit[worker] = False
            taker = self._takers.pop(worker, None)
        if taker:
            self._queues.close(taker, for_worker=True)
            self._free(taker, None, BrokenExecutor(f'worker {worker} {why}'))

    def _take(self, worker: str) -> None:
        """Use a worker that has the same version of occystrap."""
        name, reason = worker_probe.probe(self._scheduler.client, worker)
        if name in self._denied and not reason:
            reason = 'it was left out before'
        taker = None if reason else self._queues.open(worker)
        with self._lock:
            self._names[worker] = name
            self._fit[worker] = not reason
            if taker:
                self._takers[worker] = taker
        if taker:
            taker.task.add_done_callback(partial(self._left, taker))
        else:
            self._note(f'worker {worker} is left out: {reason}')

    def _left(self, taker: Taker, task: 'distributed.Future') -> None:
        """Give up a worker whose task has ended during the run: it is being closed, has died, or something failed."""
        if taker.is_closed or self._ended:
            return
        if not self._scheduler.is_connected:
            self._lose(self._scheduler.gone())
            return
        error = task.exception() if task.status == 'error' else None
        if error is None or isinstance(error, distributed.KilledWorker):
            self._give_up(taker.worker, 'was closed', only=taker)
            return
        self._give_up(taker.worker, f'failed: {error_text(error)}', for_good=True, only=taker)
        self._note(f'worker {taker.worker} is left out: {error_text(error)}')
