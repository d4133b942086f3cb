"""Workers and schedulers that are lost, frozen or late: no image waits for them, and none is begun twice."""
import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import distributed
import pytest

from occystrap_core import ServiceUnavailable
from occystrap_dask import cluster, scheduler, worker_probe, worker_task
from tests.functional.scale.workers.local_cluster import Work, busy_worker, cluster_of, finish, wait_until


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
