"""The workers of a Dask cluster that runs in this process: one that is retired is used no more."""
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from itertools import count
from typing import Any

import distributed
import pytest

from occystrap_core import OccystrapError
from occystrap_core.orders import worker_name
from occystrap_dask import cluster, worker_probe
from occystrap_dask.executor import dask_workers
from occystrap_dask.worker_task import execute


class Work:
    """Says which worker has it, at once or when it is stopped."""

    def __init__(self, waits: bool) -> None:
        self._waits, self._stopped = waits, threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the event."""
        return Work, (self._waits,)

    def __call__(self) -> str:
        """Return the address of the worker."""
        assert not self._waits or self._stopped.wait(20)
        return str(distributed.get_worker().address)

    def stop(self) -> None:
        """Let it end."""
        self._stopped.set()


@pytest.fixture
def local() -> Iterator[distributed.LocalCluster]:
    """A cluster of two workers."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as found:
        yield found


@pytest.fixture
def executor(local: distributed.LocalCluster) -> Iterator[Executor]:
    """The executor that uses them."""
    options = {'scheduler': local.scheduler_address, 'workers': 2, 'wait': 10.0, 'frozen': 30.0}
    with dask_workers(options, print) as (found, slots):
        assert slots == 2
        yield found


def retired(client: distributed.Client) -> list[str]:
    """Retire the worker that is at work; it stays, as one does that has data to hand over. Return its address."""
    while not (found := [worker for worker, tasks in client.processing().items() if tasks]):
        time.sleep(0.05)
    time.sleep(0.5)  # it has begun
    client.retire_workers(found, close_workers=False, remove=False)
    return found


def test_the_scheduler_keeps_nothing_of_what_is_done(local: distributed.LocalCluster, executor: Executor) -> None:
    kept = list[int]()
    for _ in range(20):
        executor.submit(Work(False)).result(10)
        time.sleep(0.05)  # until it is forgotten
        kept.append(len(local.scheduler.extensions['spans'].spans))
    assert kept[0] == kept[-1]


def test_the_only_worker_can_be_retired() -> None:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as found:
        options = {'scheduler': found.scheduler_address, 'workers': 1, 'wait': 10.0, 'frozen': 30.0}
        with dask_workers(options, print), distributed.Client(found, set_as_default=False) as client:
            time.sleep(0.5)
            assert client.retire_workers(list(client.scheduler_info()['workers']))


def test_an_image_of_a_retired_worker_is_copied_by_another(local: distributed.LocalCluster, executor: Executor) -> None:
    waiting = executor.submit(Work(True))
    with distributed.Client(local, set_as_default=False) as client:
        gone = retired(client)
        assert isinstance(waiting.exception(10), BrokenExecutor)
        time.sleep(1)
        assert {executor.submit(Work(False)).result(10) for _ in range(4)}.isdisjoint(gone)


def test_an_answer_that_does_not_come_holds_up_no_other(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a worker that is stopped between the end of its image and the question for its answer."""
    fetch, began, came, calls = distributed.Future.result, threading.Event(), threading.Event(), count()

    def result(task: Any, *arguments: Any, **more: Any) -> Any:
        if not next(calls):
            began.set()
            assert came.wait(30)
        return fetch(task, *arguments, **more)
    monkeypatch.setattr(distributed.Future, 'result', result)
    stuck = executor.submit(Work(False))
    assert began.wait(10)
    assert [executor.submit(Work(False)).result(10) for _ in range(3)] and not stuck.done()
    came.set()
    assert stuck.result(10)


def test_a_retired_worker_gives_no_answer(local: distributed.LocalCluster) -> None:
    with distributed.Client(local, set_as_default=False) as client:
        worker = next(iter(client.scheduler_info()['workers']))
        task = client.submit(execute, Work(True), workers=[worker], allow_other_workers=False, pure=False, retries=0)
        assert retired(client) == [worker]
        assert isinstance(task.exception(10), BrokenExecutor)


def test_a_worker_that_is_busy_with_something_else_is_left_out_with_a_line_that_says_so(
        local: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_probe, 'PATIENCE', 0.5)
    notes = list[str]()
    with distributed.Client(local, set_as_default=False) as client:
        busy, free = client.scheduler_info()['workers']
        other = client.submit(execute, Work(True), workers=[busy], pure=False)
        while not client.processing()[busy]:
            time.sleep(0.05)
        options = {'scheduler': local.scheduler_address, 'workers': None, 'wait': 5.0, 'frozen': 30.0}
        with dask_workers(options, notes.append) as (executor, slots):
            assert slots == 1 and executor.submit(Work(False)).result(10) == free
        other.cancel()
    assert notes == [f'worker {busy} is left out: no answer within 0.5 s; end what else it does, and start the worker '
                     'again']


def busy_workers(client: distributed.Client, count: int) -> list[distributed.Future]:
    """Give so many workers something else to do."""
    found = [client.submit(execute, Work(True), workers=[worker], pure=False, key=f'busy-{worker}')
             for worker in [*client.scheduler_info(n_workers=-1)['workers']][:count]]
    while sum(map(bool, client.processing().values())) < count:
        time.sleep(0.05)
    return found


def test_workers_are_asked_at_once_so_that_those_that_do_not_answer_cost_their_time_once(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_probe, 'PATIENCE', 1.0)
    with (distributed.LocalCluster(n_workers=6, threads_per_worker=1, processes=False, dashboard_address=None) as local,
          distributed.Client(local, set_as_default=False) as client):
        others, began = busy_workers(client, 5), time.monotonic()
        options = {'scheduler': local.scheduler_address, 'workers': None, 'wait': 5.0, 'frozen': 30.0}
        with dask_workers(options, print) as (executor, slots):
            assert slots == 1 and time.monotonic() - began < 4
        client.cancel(others)


def test_a_mistake_of_our_own_is_not_put_down_to_the_scheduler(local: distributed.LocalCluster, executor: Executor,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = executor.submit(Work(True))
    monkeypatch.setattr(executor, '_hear', lambda *arguments: {}['last_seen'])
    error = waiting.exception(10)
    assert isinstance(error, OccystrapError) and "unexpected KeyError: 'last_seen'" in str(error)
    with pytest.raises(OccystrapError, match='unexpected KeyError'):
        executor.submit(Work(False))


def test_an_interrupted_worker_still_answers(local: distributed.LocalCluster) -> None:
    options = {'scheduler': local.scheduler_address, 'workers': 2, 'wait': 10.0, 'frozen': 30.0}
    with distributed.Client(local, set_as_default=False) as client, pytest.raises(KeyboardInterrupt):
        with dask_workers(options, print) as (executor, slots):
            waiting = executor.submit(Work(True))
            while not any(client.processing().values()):
                time.sleep(0.05)
            time.sleep(0.5)  # it has begun
            assert isinstance(executor, cluster.Cluster) and executor.at_work() == [worker_name()]
            raise KeyboardInterrupt
    assert waiting.result(0).startswith('inproc://')


def test_a_worker_that_is_left_out_gets_nothing_more() -> None:
    notes = list[str]()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        options = {'scheduler': local.scheduler_address, 'workers': 2, 'wait': 20.0, 'frozen': 30.0}
        with dask_workers(options, notes.append) as (executor, slots):
            assert isinstance(executor, cluster.Cluster)
            first = executor.submit(Work(False)).result(10)
            executor.leave_out(executor._names[first], 'access denied')
            assert first not in {executor.submit(Work(False)).result(10) for _ in range(4)}
    assert len(notes) == 1 and f'({first}) is left out: access denied; log in there' in notes[0]
