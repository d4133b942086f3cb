"""The workers of a Dask cluster that runs in this process: one that is retired is used no more."""
import asyncio
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import distributed
import pytest

from occystrap_core import OccystrapError, ServiceUnavailable
from occystrap_core.orders import worker_name
from occystrap_dask import cluster, scheduler, worker_probe, worker_task
from occystrap_dask.executor import dask_workers

finish = threading.Event()
"""Lets all work end that waits."""


@pytest.fixture(autouse=True)
def _unfinished() -> None:
    finish.clear()


class Work:
    """Says which worker has it, at once or when it is stopped."""

    def __init__(self, waits: bool) -> None:
        self._waits, self._stopped = waits, threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the event."""
        return Work, (self._waits,)

    def __call__(self) -> str:
        """Return the address of the worker."""
        began = time.monotonic()
        while self._waits and not (self._stopped.is_set() or finish.is_set()):
            time.sleep(0.01)
            assert time.monotonic() - began < 20
        return str(distributed.get_worker().address)

    def stop(self) -> None:
        """Let it end."""
        self._stopped.set()


@pytest.fixture
def local() -> Iterator[distributed.LocalCluster]:
    """A cluster of two workers."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as found:
        yield found


@contextmanager
def cluster_of(local: distributed.LocalCluster, count: int | None,
               note: Callable[[str], None] = print) -> Iterator[cluster.Cluster]:
    """Give the executor that uses so many workers, or those that it finds."""
    options = {'scheduler': local.scheduler_address, 'workers': count, 'wait': 10.0, 'frozen': 30.0}
    with dask_workers(options, note) as (found, slots):
        assert isinstance(found, cluster.Cluster) and slots == (count or 1)
        yield found


@pytest.fixture
def executor(local: distributed.LocalCluster) -> Iterator[cluster.Cluster]:
    """The executor that uses both."""
    with cluster_of(local, 2) as found:
        yield found


def busy_worker(executor: cluster.Cluster) -> str:
    """Return the worker that has work, once it has begun."""
    (taker,) = executor._busy()
    time.sleep(0.5)
    return taker.worker


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait till something is so, or fail."""
    until = time.monotonic() + 10
    while not (found := is_so()) and time.monotonic() < until:
        time.sleep(0.05)
    assert found


def run(work: Work) -> str:
    """Do what another user of the cluster has to do."""
    return work()


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


def test_a_worker_that_is_busy_with_another_run_holds_up_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs that begin together may each have a part of the workers: then none waits for the other's."""
    monkeypatch.setattr(worker_probe, 'PATIENCE', 0.5)
    notes = list[str]()
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local:
        with cluster_of(local, 1) as other:
            monkeypatch.setattr(other, '_look', lambda: None)  # it uses no more workers
            monkeypatch.setattr(worker_probe, 'probe', lambda client, worker: (worker, ''))
            local.scale(2)
            with cluster_of(local, None, notes.append) as executor:
                (busy,), (free,) = ({each.worker for each in found._usable()} for found in (other, executor))
                assert busy != free
                assert {executor.submit(Work(False)).result(10) for _ in range(4)} == {free}
                waiting = [executor.submit(Work(True)) for _ in range(2)]
                other.stop()
                wait_until(lambda: len(executor._busy()) == 2)
                finish.set()
                assert {each.result(10) for each in waiting} == {busy, free}
    assert notes == [f'worker {busy} is busy with something else, and is used when that has ended']


def test_work_that_was_lost_with_its_worker_is_noticed_although_another_has_its_address(
        executor: cluster.Cluster) -> None:
    """Dask runs the task of a dead worker again on the next one with its address, and then says nothing to us."""
    waiting = executor.submit(Work(True))
    (taker,) = executor._busy()
    executor._queues._answers.put([taker.name, worker_task.BEGUN])  # as the task does when it is run again
    assert str(waiting.exception(10)).endswith(' was started again')
    assert executor.submit(Work(False)).result(10)


def test_a_scheduler_that_does_not_answer_ends_the_run(local: distributed.LocalCluster,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, 'PATIENCE', 2.0)

    async def frozen(**arguments: Any) -> None:
        await asyncio.sleep(30)
    with cluster_of(local, 2) as executor:
        waiting = executor.submit(Work(True))
        local.scheduler.handlers['identity'] = frozen
        error = waiting.exception(10)
    assert isinstance(error, ServiceUnavailable) and ' has not answered for 2 s: start it again' in str(error)


def test_work_that_is_submitted_while_the_scheduler_is_lost_is_refused(executor: cluster.Cluster) -> None:
    class Losing(Work):
        """Loses the scheduler when it is submitted."""

        def __reduce__(self) -> tuple[Any, ...]:
            executor._lose(ServiceUnavailable('lost'))
            return Work, (False,)
    with pytest.raises(ServiceUnavailable, match='lost'):
        executor.submit(Losing(False))


def test_work_that_a_frozen_scheduler_sent_late_is_not_begun_if_nobody_wants_it(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_task, '_LATE', 1.0)
    runner, wanted = worker_task._Runner(lambda: wanted.is_set()), threading.Event()
    wanted.set()

    class Frozen:
        """A queue that answers later than it should."""

        def get(self, timeout: float) -> bytes:
            """Return work; the scheduler tells only afterwards that its client has ended."""
            time.sleep(timeout + 1.1)
            threading.Timer(0.1, wanted.clear).start()
            return b'work'

        def put(self, answer: Any) -> None:
            """Accept an answer."""
            self.get(0)
    threading.Thread(target=runner.watch, daemon=True).start()
    assert worker_task._next(Frozen(), runner) == worker_task.DISMISSED  # type: ignore[arg-type]


def test_a_worker_that_is_found_while_the_run_ends_is_free_for_others(executor: cluster.Cluster) -> None:
    queues = executor._queues
    queues._ended.set()
    is_free = queues.open(next(iter(executor._takers))).task.cancelled()
    assert is_free


def test_the_end_of_an_old_task_does_not_give_up_a_worker_that_is_used_again(executor: cluster.Cluster) -> None:
    taker = next(iter(executor._takers.values()))
    executor._left(replace(taker), distributed.Future('ended', executor._scheduler.client))
    is_used = executor._takers.get(taker.worker) is taker
    assert is_used


def test_a_worker_that_was_frozen_is_used_again_when_it_responds(executor: cluster.Cluster,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = executor.submit(Work(True))
    silent = busy_worker(executor)
    monkeypatch.setattr(executor._heartbeats, 'frozen', lambda workers: [silent])
    assert str(waiting.exception(10)).endswith(' did not respond for 30 s')
    assert {executor.submit(Work(False)).result(10) for _ in range(4)}.isdisjoint({silent})
    monkeypatch.setattr(executor._heartbeats, 'frozen', lambda workers: [])
    wait_until(lambda: silent in {each.worker for each in executor._usable()})
    both = [executor.submit(Work(True)) for _ in range(2)]
    time.sleep(0.5)
    finish.set()
    assert silent in {each.result(10) for each in both}


def test_a_worker_that_was_left_out_stays_so_when_it_was_away() -> None:
    notes = list[str]()
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
          cluster_of(local, 2, notes.append) as executor):
        first = executor.submit(Work(False)).result(10)
        executor.leave_out(executor._names[first], 'access denied')
        executor._give_up(first, 'is gone')
        wait_until(lambda: len(notes) == 2)
        assert first not in {executor.submit(Work(False)).result(10) for _ in range(4)}
    assert notes[1] == f'worker {first} is left out: it was left out before'
