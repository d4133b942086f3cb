"""What the thread that watches over worker processes meets when one of them ends at the same moment."""
import os
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe

from occystrap_core.bulk.processes import WorkerProcesses, _Worker
from occystrap_core.orders import worker_name


class Work:
    """Takes a second."""

    def __call__(self) -> str:
        """Return the name of the worker."""
        time.sleep(1)
        return worker_name()

    def stop(self) -> None:
        """Nothing is to be stopped."""


def test_workers_that_are_at_work_are_named_as_they_name_themselves() -> None:
    workers = WorkerProcesses(2, 30.0)
    try:
        assert workers.at_work() == []
        done = workers.submit(Work())
        while (names := workers.at_work()) == ['starting']:
            assert not done.done()
            time.sleep(0.01)
        assert names == [done.result()]
        assert workers.at_work() == []
    finally:
        workers.shutdown()


def test_a_sign_of_life_of_a_process_that_was_just_ended_is_no_number_of_a_process() -> None:
    worker = _Worker(30.0)
    worker.line, theirs = Pipe()
    theirs.send_bytes(str(os.getpid()).encode())
    worker.hear()
    theirs.send_bytes(b'.')
    line = worker.line
    worker.end()
    worker.line, again = Pipe()
    again.send_bytes(b'.')
    worker.hear()
    assert line.closed and not worker.line.closed


def test_a_process_that_ends_while_it_is_to_be_killed_is_no_error() -> None:
    worker = _Worker(30.0)
    worker._process = os.pidfd_open(os.getpid())
    os.close(worker._process)
    worker.kill()


def test_a_worker_that_was_never_started_says_nothing() -> None:
    worker = _Worker(30.0)
    worker.hear()
    worker.kill()
    worker.end()
    assert worker.line is None


def test_a_line_that_ends_is_closed_once_whoever_notices_first() -> None:
    mistakes = list[BaseException]()

    def ended(do: Callable[[], None]) -> None:
        together.wait()
        try:
            do()
        except OSError as error:
            mistakes.append(error)
    for _ in range(500):
        worker, together = _Worker(30.0), threading.Barrier(2)
        worker.line, theirs = Pipe()
        theirs.close()
        threads = [threading.Thread(target=ended, args=(do,)) for do in (worker.hear, worker.end)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert not mistakes
