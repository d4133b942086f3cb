"""The workers of a Dask cluster: one that is retired is used no more, and the scheduler keeps nothing."""
import pickle
import time
from concurrent.futures import BrokenExecutor
from typing import Any

import distributed
import pytest

from occystrap_core import OccystrapError
from occystrap_core.orders import worker_name
from occystrap_dask import cluster, worker_probe, worker_task
from tests.functional.scale.workers.local_cluster import Work, busy_worker, cluster_of, finish, run


def kept(local: distributed.LocalCluster) -> list[int]:
    """Return the sizes of what the scheduler keeps of work."""
    scheduler = local.scheduler
    spans = scheduler.extensions['spans'].spans.values()
    metadata = [len(span.metadata['collections']) for span in spans if span.metadata]
    queued = [queue.qsize() for queue in scheduler.extensions['queues'].queues.values()]
    return [len(spans), sum(metadata), len(scheduler.tasks), len(scheduler.task_groups), len(queued), sum(queued)]


def test_the_scheduler_keeps_nothing_of_what_is_done(local: distributed.LocalCluster,
                                                     executor: cluster.Cluster) -> None:
    assert {executor.submit(Work(False)).result(10) for _ in range(4)}
    before = kept(local)
    for _ in range(20):
        executor.submit(Work(False)).result(10)
    assert kept(local) == before


def test_nothing_is_left_of_a_run_and_its_workers_are_free_for_the_next(
        local: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_task, '_WAIT', 60.0)  # far more than a worker has for its first answer to a new run
    monkeypatch.setattr(worker_task, '_FIRST_WAIT', 60.0)
    for _ in range(3):
        with cluster_of(local, 2) as executor:
            assert {executor.submit(Work(False)).result(10) for _ in range(2)}
            time.sleep(0.5)  # both wait for more
    until = time.monotonic() + 5
    while local.scheduler.extensions['queues'].queues and time.monotonic() < until:
        time.sleep(0.05)
    assert not local.scheduler.extensions['queues'].queues and not local.scheduler.tasks


def test_the_only_worker_can_be_retired() -> None:
    with (distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local,
          cluster_of(local, 1), distributed.Client(local, set_as_default=False) as client):
        time.sleep(0.5)
        assert client.retire_workers(list(client.scheduler_info()['workers']))


def test_an_image_of_a_retired_worker_is_copied_by_another(local: distributed.LocalCluster,
                                                           executor: cluster.Cluster) -> None:
    waiting = executor.submit(Work(True))
    gone = busy_worker(executor)
    with distributed.Client(local, set_as_default=False) as client:
        client.retire_workers([gone], close_workers=False, remove=False)  # it stays, as one that has data to hand over
        assert isinstance(waiting.exception(10), BrokenExecutor)
        time.sleep(1)
        is_probed = gone in executor._asked
        assert not is_probed
        assert gone not in {executor.submit(Work(False)).result(10) for _ in range(4)}


def test_a_worker_that_dask_has_paused_ends_its_image(local: distributed.LocalCluster,
                                                      executor: cluster.Cluster) -> None:
    waiting = executor.submit(Work(True))
    paused = busy_worker(executor)
    worker = next(each for each in local.workers.values() if each.address == paused)
    worker.status = distributed.Status.paused
    time.sleep(2)
    finish.set()
    assert waiting.result(10) == paused


class Unpicklable(Exception):
    """An exception that does not travel."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError('not picklable')


class Fails(Work):
    """Fails in a way that cannot be answered as it is."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Fails, (self._waits,)

    def __call__(self) -> str:
        raise Unpicklable('it went wrong')


def test_an_exception_that_does_not_travel_is_answered_as_text(executor: cluster.Cluster) -> None:
    assert str(executor.submit(Fails(False)).exception(10)) == 'Unpicklable: it went wrong'
    assert executor.submit(Work(False)).result(10)


def test_a_worker_that_cannot_take_work_is_left_out_with_a_line(local: distributed.LocalCluster,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = list[str](), worker_task._next

    def fails_first(*arguments: Any) -> bytes:
        calls.append('')
        if len(calls) == 1:
            time.sleep(0.5)
            raise RuntimeError('there are no queues')
        return real(*arguments)
    monkeypatch.setattr(worker_task, '_next', fails_first)
    notes = list[str]()
    with cluster_of(local, 2, notes.append) as executor:
        time.sleep(1.5)
        assert executor.submit(Work(False)).result(10) and len(executor._usable()) == 1
    assert len(notes) == 1 and notes[0].endswith(' is left out: there are no queues')


def test_a_worker_that_is_busy_with_something_else_is_left_out_with_a_line_that_says_so(
        local: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_probe, 'PATIENCE', 0.5)
    notes = list[str]()
    with distributed.Client(local, set_as_default=False) as client:
        busy, free = client.scheduler_info()['workers']
        other = client.submit(run, Work(True), workers=[busy], pure=False)
        while not client.processing()[busy]:
            time.sleep(0.05)
        with cluster_of(local, None, notes.append) as executor:
            assert executor.submit(Work(False)).result(10) == free
        other.cancel()
        finish.set()
    assert notes == [f'worker {busy} is left out: no answer within 0.5 s; end what else it does, or give it more '
                     'memory if Dask has paused it, and start the worker again']


def busy_workers(client: distributed.Client, count: int) -> list[distributed.Future]:
    """Give so many workers something else to do."""
    found = [client.submit(run, Work(True), workers=[worker], pure=False, key=f'busy-{worker}')
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
        with cluster_of(local, None):
            assert time.monotonic() - began < 4
        client.cancel(others)
        finish.set()


def test_a_mistake_of_our_own_is_not_put_down_to_the_scheduler(executor: cluster.Cluster,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = executor.submit(Work(True))
    monkeypatch.setattr(executor._heartbeats, 'frozen', lambda *arguments: {}['last_seen'])
    error = waiting.exception(10)
    assert isinstance(error, OccystrapError) and "unexpected KeyError: 'last_seen'" in str(error)
    with pytest.raises(OccystrapError, match='unexpected KeyError'):
        executor.submit(Work(False))


def test_an_interrupted_worker_still_answers(local: distributed.LocalCluster) -> None:
    with pytest.raises(KeyboardInterrupt):
        with cluster_of(local, 2) as executor:
            waiting = executor.submit(Work(True))
            assert busy_worker(executor).startswith('inproc://') and executor.at_work() == [worker_name()]
            raise KeyboardInterrupt
    assert waiting.result(0).startswith('inproc://')


def test_work_that_a_worker_gets_after_it_was_interrupted_ends_at_once() -> None:
    runner = worker_task._Runner()
    runner.interrupt()
    began = time.monotonic()
    _, error = pickle.loads(runner.run(pickle.dumps(Work(True))))
    assert 'no worker' in str(error).lower() and time.monotonic() - began < 5


def test_a_worker_that_is_left_out_gets_nothing_more() -> None:
    notes = list[str]()
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
          cluster_of(local, 2, notes.append) as executor):
        first = executor.submit(Work(False)).result(10)
        executor.leave_out(executor._names[first], 'access denied')
        assert first not in {executor.submit(Work(False)).result(10) for _ in range(4)}
    assert len(notes) == 1 and f'({first}) is left out: access denied; log in there' in notes[0]
