"""The executor `dask`: each worker of a cluster gets one image at a time. Which one, and what happens when a worker is
gone, is decided here and in the core: to the scheduler each image is a task for one worker, which it never tries again.
"""
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from typing import Any

import distributed

from occystrap_core import ServiceUnavailable, UsageError, __version__
from occystrap_dask.worker_task import execute, loaded

_LOOK = 0.5
_AT_WORK = ('running', 'paused')
"""The states of workers that are there to stay; one that is retired interrupts what it does."""
_PROBE = 10.0
"""Seconds that a worker gets to tell its version."""


@contextmanager
def dask_workers(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Give the executor and the number of workers that can be used.

    Raises UsageError without a scheduler's address, ServiceUnavailable without a scheduler or workers.
    """
    address = options['scheduler']
    if not address:
        raise UsageError('executor dask: the scheduler is missing: write --executor dask:scheduler=tcp://HOST:8786')
    for name in ('distributed', 'distributed.client', 'distributed.core', 'tornado', 'asyncio'):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is said in one line of ours
    try:
        client = distributed.Client(address, set_as_default=False, timeout=min(10.0, max(1.0, options['wait'])))
    except (OSError, ValueError, ImportError) as error:
        raise ServiceUnavailable(f'no Dask scheduler answers at {address}: {_text(error)}; start one with '
                                 'dask scheduler') from None
    cluster = Cluster(client, address, options['frozen'], note)
    try:
        found = cluster.begin(options['workers'] or 1, options['wait'])
        yield cluster, options['workers'] or found
    finally:
        cluster.stop()


class Cluster(Executor):
    """The workers of a scheduler; those that come later are used as well."""

    def __init__(self, client: 'distributed.Client', address: str, frozen: float, note: Callable[[str], None]) -> None:
        """`frozen` is the number of seconds after which a worker that gives no sign of life is given up."""
        self._client, self._address, self._frozen, self._note = client, address, frozen, note
        self._lock = threading.RLock()
        self._fit: dict[str, bool] = {}
        """The workers that were seen, and whether they can be used."""
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        """What no worker has begun, with the result that it will have."""
        self._at_work: dict[str, tuple[Future[Any], 'distributed.Future']] = {}
        self._seen: dict[str, tuple[float, float]] = {}
        """When the scheduler last heard of a worker, by its clock, and when that was noticed, by ours."""
        self._lost = self._ended = False

    def begin(self, count: int, seconds: float) -> int:
        """Wait for so many workers, or at least one; return their number."""
        until = time.monotonic() + seconds
        self._look()
        while (found := self._usable) < count and time.monotonic() < until:
            time.sleep(_LOOK)
            self._look()
        if not found:
            raise ServiceUnavailable(f'the Dask scheduler {self._address} has no worker that can be used: start some '
                                     f'with dask worker {self._address} --nthreads 1')
        threading.Thread(target=self._watch, name='dask', daemon=True).start()
        return found

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Have it done by the next worker that has nothing to do; raises ServiceUnavailable if there is no scheduler.
        """
        assert not args and not kwargs
        if self._lost:
            raise self._gone()
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append((work, future))
        self._send()
        return future

    def _send(self) -> None:
        """Give idle workers what waits."""
        with self._lock:
            while self._waiting and (idle := next((each for each, fit in self._fit.items()
                                                   if fit and each not in self._at_work), '')):
                work, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    task = self._client.submit(execute, work, workers=[idle], allow_other_workers=False, pure=False,
                                               retries=0)
                    self._at_work[idle] = future, task
                    task.add_done_callback(partial(self._done, idle, future))

    @property
    def _usable(self) -> int:
        return sum(self._fit.values())

    def stop(self) -> None:
        """Have the workers interrupt what they do, and leave the scheduler."""
        self._ended = True
        with self._lock:
            tasks = [task for _, task in self._at_work.values()]
        with suppress(Exception):  # the scheduler may be gone
            if tasks and not self._lost:
                self._client.cancel(tasks)
        with suppress(Exception):
            self._client.close(timeout=1)

    def _done(self, worker: str, future: 'Future[Any]', task: 'distributed.Future') -> None:
        try:
            if task.status == 'finished':
                result, error = task.result(), None
            elif task.status == 'error':
                result, error = None, task.exception()
            else:
                result, error = None, BrokenExecutor(f'worker {worker} lost it')
        except Exception as problem:  # the answer cannot be fetched
            result, error = None, BrokenExecutor(f'worker {worker}: {_text(problem)}')
        if isinstance(error, distributed.KilledWorker):
            error = BrokenExecutor(f'worker {worker} died')
        if self._lost or isinstance(error, BrokenExecutor) and self._client.status != 'running':
            error = self._gone()
        self._free(worker, future, result, error)

    def _free(self, worker: str, future: 'Future[Any]', result: Any, error: BaseException | None) -> None:
        """Give the result of a task, unless it was given up, and the worker the next one."""
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
            except Exception:  # whatever the library raises: nobody answers
                self._lose(self._gone())
                return
            since = time.monotonic() if self._usable else since
            if time.monotonic() - since > self._frozen:
                self._lose(ServiceUnavailable(f'no worker is left at the Dask scheduler {self._address}: start some, '
                                              'and go on with --resume'))
                return
            time.sleep(_LOOK)

    def _lose(self, error: ServiceUnavailable) -> None:
        """End everything that waits for a result."""
        self._lost = True
        with self._lock:
            waiting, self._waiting = [future for _, future in self._waiting], deque()
        for worker, (future, _) in list(self._at_work.items()):
            self._free(worker, future, None, error)
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _look(self) -> None:
        """See which workers are there; take new ones, and give up those that are gone, retired, or frozen."""
        workers = self._client.scheduler_info(n_workers=-1)['workers']
        known = {worker: told for worker, told in workers.items() if told['status'] in _AT_WORK}
        if self._client.status != 'running':
            raise self._gone()
        for worker in [*self._fit]:
            if worker not in known:
                self._give_up(worker, 'is gone')
        for worker, told in known.items():
            self._hear(worker, told['last_seen'])
            if worker not in self._fit:
                self._take(worker)

    def _hear(self, worker: str, last_seen: float) -> None:
        """Give up a worker that the scheduler has not heard of for too long, by our own clock."""
        if self._seen.get(worker, (0.0, 0.0))[0] != last_seen:
            self._seen[worker] = last_seen, time.monotonic()
        elif self._fit.get(worker) and time.monotonic() - self._seen[worker][1] > self._frozen:
            self._give_up(worker, f'did not respond for {self._frozen:.0f} s')
            self._fit[worker] = False

    def _give_up(self, worker: str, why: str) -> None:
        with self._lock:
            self._fit.pop(worker, None)
            future, task = self._at_work.get(worker, (None, None))
        if future and task:
            with suppress(Exception):
                task.cancel()
            self._free(worker, future, None, BrokenExecutor(f'worker {worker} {why}'))

    def _take(self, worker: str) -> None:
        """Use a worker that has occystrap in the version of this one."""
        advice = f'there pip install occystrap-core[all]=={__version__} occystrap-dask=={__version__}'
        try:
            reason = self._unfit(worker)
        except TimeoutError:
            reason, advice = f'no answer within {_PROBE:g} s', 'end what else it does, and start the worker again'
        except Exception as error:  # whatever goes wrong there
            reason = _text(error)
        with self._lock:
            self._fit[worker] = not reason
        if reason:
            self._note(f'worker {worker} is left out: {reason}; {advice}')

    def _unfit(self, worker: str) -> str:
        """Return why a worker cannot be used, empty if it can.

        Of a task whose function it lacks there would be no answer, so it is first asked for what is installed.
        """
        for name in ('occystrap-core', 'occystrap-dask'):
            try:
                found = self._ask(worker, metadata.version, name)
            except metadata.PackageNotFoundError:
                return f'it has no {name}'
            if found != __version__:
                return f'it has {name} {found}, this is {__version__}'
        self._ask(worker, loaded)
        return ''

    def _ask(self, worker: str, function: Callable[..., str], *arguments: str) -> str:
        task = self._client.submit(function, *arguments, workers=[worker], allow_other_workers=False, pure=False,
                                   retries=0)
        return str(task.result(timeout=_PROBE))


def _text(error: BaseException) -> str:
    """Return the first line of an error, with its causes."""
    while error.__cause__:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
