"""The workers of a cluster: each gets one image at a time.

To the scheduler each image is a task for one worker, which it never retries: this module and the core decide that.
"""
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any

import distributed

from occystrap_core import OccystrapError, ServiceUnavailable
from occystrap_dask import worker_probe
from occystrap_dask.worker_probe import error_text
from occystrap_dask.worker_task import execute, interrupt, new_key

_LOOK = 0.5
_AT_WORK = ('running', 'paused')
"""The states of workers that can be used; one that is being retired interrupts its work."""
_PROBES = 32
"""Number of workers that are probed at once."""
_NOWHERE = {'occystrap-nowhere': 1}
"""A resource that no worker has, for a task that must not run: a worker that holds its result could not be retired."""
_GRACE = 2.5
"""Seconds for interrupted images to report what they have kept for the next run."""
_GONE = (OSError, CancelledError, distributed.client.ClosedClientError, ServiceUnavailable)
"""Exceptions that are raised if the scheduler or a worker is gone."""


class Cluster(Executor):
    """The workers of a scheduler, including those that join later."""

    def __init__(self, client: 'distributed.Client', address: str, frozen: float, note: Callable[[str], None]) -> None:
        """`frozen`: after this many seconds without a heartbeat a worker is given up."""
        self._client, self._address, self._frozen, self._note = client, address, frozen, note
        self._lock = threading.RLock()
        self._fit: dict[str, bool] = {}
        """The known workers, and whether each can be used."""
        self._asked: dict[str, Future[None]] = {}
        """The workers that are being probed."""
        self._probes = ThreadPoolExecutor(_PROBES, 'probe')
        self._names: dict[str, str] = {}
        """What the workers call themselves."""
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        """Work that no worker has begun, each with its future."""
        self._at_work: dict[str, tuple[Future[Any], 'distributed.Future']] = {}
        self._seen: dict[str, tuple[float, float]] = {}
        """For each worker the scheduler's time of its last heartbeat, and when that was noticed by our clock."""
        self._kept = list['distributed.Future']()
        """A task that never runs: without one, the scheduler makes a group for each later task, and drops none."""
        self._ended = False
        self._lost: OccystrapError | None = None

    def begin(self, count: int, seconds: float) -> int:
        """Wait for `count` workers, or at least one; return their number."""
        until = time.monotonic() + seconds
        self._look()
        wait([*self._asked.values()], max(seconds, worker_probe.PATIENCE))
        while (found := self._usable) < count and time.monotonic() < until:
            time.sleep(_LOOK)
            self._look()
        if not found:
            raise ServiceUnavailable(f'the Dask scheduler {self._address} has no worker that can be used: start some '
                                     f'with dask worker {self._address} --nthreads 1')
        self._kept.append(self._client.submit(int, key=new_key(), resources=_NOWHERE))
        threading.Thread(target=self._watch, name='dask', daemon=True).start()
        return found

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Queue work for the next idle worker; raises ServiceUnavailable if there is no scheduler."""
        assert not args and not kwargs
        if self._lost:
            raise self._lost
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append((work, future))
        self._send()
        return future

    def _send(self) -> None:
        """Give waiting work to idle workers."""
        with self._lock:
            while not self._ended and self._waiting and (idle := self._idle()):
                work, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    task = self._client.submit(execute, work, workers=[idle], allow_other_workers=False, key=new_key(),
                                               retries=0)
                    self._at_work[idle] = future, task
                    task.add_done_callback(partial(self._answered, idle, future))

    def _idle(self) -> str:
        """Return an idle worker, empty if there is none."""
        return next((each for each, fit in self._fit.items() if fit and each not in self._at_work), '')

    @property
    def _usable(self) -> int:
        return sum(self._fit.values())

    def at_work(self) -> list[str]:
        """Return the names of the workers that have an image."""
        with self._lock:
            return [self._names.get(each, each) for each in self._at_work]

    def leave_out(self, worker: str, why: str) -> None:
        """Give no more work to a worker, identified by its own name."""
        with self._lock:
            found = [address for address, name in self._names.items() if name == worker and address in self._fit]
            self._fit.update(dict.fromkeys(found, False))
        for address in found:
            self._note(f'worker {worker} ({address}) is left out: {why}; log in there with occystrap login, or end it')

    def stop(self) -> None:
        """Make the workers interrupt their work, and disconnect from the scheduler."""
        self._ended = True
        self._probes.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            at_work = dict(self._at_work)
        if at_work and not self._lost:
            asked = {worker: task.key for worker, (_, task) in at_work.items()}
            threading.Thread(target=self._interrupt, args=(asked,), name='interrupt', daemon=True).start()
            wait([future for future, _ in at_work.values()], _GRACE)
        with self._lock:
            tasks = [task for _, task in self._at_work.values()]
        with suppress(Exception):  # the scheduler may be gone
            if tasks and not self._lost:
                self._client.cancel(tasks)
        with suppress(Exception):
            self._client.close(timeout=1)

    def _interrupt(self, keys: Mapping[str, str]) -> None:
        """Make workers interrupt their work and answer; a frozen one does not delay the others."""
        with suppress(Exception):  # it is cancelled soon in any case
            self._client.run(interrupt, list(keys.values()), workers=list(keys), on_error='ignore')

    def _answered(self, worker: str, future: 'Future[Any]', task: 'distributed.Future') -> None:
        """Fetch an answer on a thread of its own: all callbacks share one thread, and a worker may freeze while
        answering."""
        threading.Thread(target=self._done, args=(worker, future, task), name='answer', daemon=True).start()

    def _done(self, worker: str, future: 'Future[Any]', task: 'distributed.Future') -> None:
        try:
            if task.status == 'finished':
                result, error = task.result(), None
            elif task.status == 'error':
                result, error = None, task.exception()
            else:
                result, error = None, BrokenExecutor(f'worker {worker} lost it')
        except Exception as problem:  # the answer cannot be fetched
            result, error = None, BrokenExecutor(f'worker {worker}: {error_text(problem)}')
        if isinstance(error, distributed.KilledWorker):
            error = BrokenExecutor(f'worker {worker} died')
        if self._lost or isinstance(error, BrokenExecutor) and self._client.status != 'running':
            error = self._lost or self._gone()
        self._free(worker, future, result, error)

    def _free(self, worker: str, future: 'Future[Any]', result: Any, error: BaseException | None) -> None:
        """Pass on the result of a task, unless its worker was given up, and give the worker new work."""
        with self._lock:
            if self._at_work.get(worker, (None,))[0] is not future:
                return
            del self._at_work[worker]
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)
        if not self._lost:
            self._send()

    def _gone(self) -> ServiceUnavailable:
        return ServiceUnavailable(f'the Dask scheduler {self._address} is gone: start it again, and go on with '
                                  '--resume')

    def _watch(self) -> None:
        since = time.monotonic()
        while not self._ended:
            try:
                self._look()
                self._send()
            except Exception as error:
                is_gone = isinstance(error, _GONE) or self._client.status != 'running'
                self._lose(self._gone() if is_gone else _unexpected(error))
                return
            since = time.monotonic() if self._usable else since
            if time.monotonic() - since > self._frozen:
                self._lose(ServiceUnavailable(f'no worker is left at the Dask scheduler {self._address}: start some, '
                                              'and go on with --resume'))
                return
            time.sleep(_LOOK)

    def _lose(self, error: OccystrapError) -> None:
        """Fail all futures that are waiting."""
        self._lost = error
        with self._lock:
            waiting, self._waiting = [future for _, future in self._waiting], deque()
        for worker, (future, _) in list(self._at_work.items()):
            self._free(worker, future, None, error)
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _look(self) -> None:
        """Update the list of workers: probe new ones, and give up those that are gone, retired, or frozen."""
        workers = self._client.scheduler_info(n_workers=-1)['workers']
        known = {worker: told for worker, told in workers.items() if told['status'] in _AT_WORK}
        if self._client.status != 'running':
            raise self._gone()
        for worker in [*self._fit]:
            if worker not in known:
                self._give_up(worker, 'is gone')
        for worker, told in known.items():
            self._hear(worker, told['last_seen'])
            if worker not in self._fit and (worker not in self._asked or self._asked[worker].done()):
                self._asked[worker] = self._probes.submit(self._take, worker)

    def _hear(self, worker: str, last_seen: float) -> None:
        """Give up a worker without a heartbeat for too long, measured by our own clock."""
        if self._seen.get(worker, (0.0, 0.0))[0] != last_seen:
            self._seen[worker] = last_seen, time.monotonic()
        elif self._fit.get(worker) and time.monotonic() - self._seen[worker][1] > self._frozen:
            self._give_up(worker, f'did not respond for {self._frozen:.0f} s')
            self._fit[worker] = False

    def _give_up(self, worker: str, why: str) -> None:
        with self._lock:
            self._fit.pop(worker, None)
            self._asked.pop(worker, None)
            future, task = self._at_work.get(worker, (None, None))
        if future and task:
            with suppress(Exception):
                task.cancel()
            self._free(worker, future, None, BrokenExecutor(f'worker {worker} {why}'))

    def _take(self, worker: str) -> None:
        """Use a worker that has the same version of occystrap."""
        name, reason = worker_probe.probe(self._client, worker)
        with self._lock:
            self._names[worker] = name
            self._fit[worker] = not reason
        if reason:
            self._note(f'worker {worker} is left out: {reason}')


def _unexpected(error: Exception) -> OccystrapError:
    """Return the error for a failure of this module, which is not the scheduler's fault."""
    return OccystrapError(f'executor dask: unexpected {type(error).__name__}: {error_text(error)}; report this, and go '
                          'on with --resume')
