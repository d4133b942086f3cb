"""Threads, and work of one key that goes in turn."""
import threading
from concurrent.futures import Future

import pytest

from occystrap_core.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.layers.single_flight import SingleFlight
from tests.unit.core.pipeline.memory import wait_until


def alive(name: str) -> int:
    """Return how many threads of this name there are; those of other tests may be about to end."""
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_no_more_threads_than_asked_for_and_none_without_work() -> None:
    gate = threading.Event()
    threads = DaemonThreads(3, 'at most three')
    assert alive('at most three') == 0
    futures = [threads.submit(gate.wait) for _ in range(10)]
    wait_until(lambda: sum(future.running() for future in futures) == 3)
    assert alive('at most three') == 3
    gate.set()
    assert all(future.result() for future in completed(futures, lambda: None))
    threads.close()
    wait_until(lambda: alive('at most three') == 0)


def test_one_after_the_other_needs_one_thread() -> None:
    threads = DaemonThreads(8, 'one by one')
    for number in range(20):
        assert threads.submit(lambda number=number: number).result(5) == number  # type: ignore[misc]
        wait_until(lambda: threads._idle._value == 1)
    assert alive('one by one') == 1
    threads.close()


def test_where_no_more_threads_are_permitted_those_that_are_there_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, started = threading.Thread.start, list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        begin(thread)
    monkeypatch.setattr(threading.Thread, 'start', start)
    threads = DaemonThreads(4, 'few')
    futures = [threads.submit(lambda: threading.current_thread()) for _ in range(9)]
    assert {future.result(timeout=30) for future in futures} == {*started}
    with pytest.raises(RuntimeError):
        DaemonThreads(4, 'none').submit(lambda: None)
    threads.close()


def test_waiting_ends_when_the_run_is_stopped() -> None:
    threads, gate = DaemonThreads(1, 'test'), threading.Event()
    futures = [threads.submit(gate.wait), threads.submit(gate.wait)]

    def stopped() -> None:
        raise KeyError('stopped')
    with pytest.raises(KeyError):
        list(completed(futures, stopped))
    assert not give_up(futures, 0.01) and futures[1].cancelled()
    gate.set()
    assert give_up(futures, 5)


def test_the_first_job_runs_alone_then_all_others_in_parallel() -> None:
    threads, gate, together = DaemonThreads(8, 'test'), threading.Event(), threading.Barrier(3)
    turns = SingleFlight(threads)
    first = turns.submit('key', gate.wait)
    others = [turns.submit('key', lambda: together.wait(5)) for _ in range(3)]
    free = turns.submit(None, lambda: 'free')
    assert free.result(5) == 'free' and turns.submit('other', lambda: 'other').result(5) == 'other'
    assert not any(future.running() or future.done() for future in others)
    gate.set()
    assert first.result(5) and {future.result(5) for future in others} == {0, 1, 2}
    assert turns.submit('key', lambda: 'late').result(5) == 'late'


def test_when_the_first_fails_the_next_is_tried_alone() -> None:
    threads, gate, order = DaemonThreads(8, 'test'), threading.Event(), []
    turns = SingleFlight(threads)

    def failing() -> None:
        gate.wait()
        raise KeyError('broken')

    def second() -> None:
        order.append('second')
        threading.Event().wait(0.05)
        order.append('second done')
    futures: list[Future[None]] = [turns.submit('key', failing), turns.submit('key', second),
                                   turns.submit('key', lambda: order.append('third'))]
    gate.set()
    assert isinstance(futures[0].exception(5), KeyError)
    assert [future.result(5) for future in futures[1:]] == [None, None]
    assert order == ['second', 'second done', 'third']


def test_a_cancelled_job_does_not_block_the_others() -> None:
    threads, gate = DaemonThreads(1, 'test'), threading.Event()
    turns = SingleFlight(threads)
    busy = threads.submit(gate.wait)
    first, second, third = (turns.submit('key', lambda number=number: number)  # type: ignore[misc]
                            for number in range(3))
    assert first.cancel() and second.cancel()
    gate.set()
    assert busy.result(5) and third.result(5) == 2
