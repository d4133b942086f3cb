"""Worker processes: what they inherit, and what happens when one of them ends at an unfortunate moment."""
import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import pytest

from occystrap_core.bulk import processes
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


class SafePath:
    """Looks at the environment."""

    def __call__(self) -> tuple[str | None, bool]:
        """Return what programs that a worker starts would inherit, and whether the current directory is in the path."""
        return os.environ.get('PYTHONSAFEPATH'), '' in sys.path or os.getcwd() in sys.path

    def stop(self) -> None:
        """Nothing is to be stopped."""


@pytest.mark.parametrize('setting', [None, '', '1'])
def test_what_a_worker_starts_inherits_the_users_setting(setting: str | None, monkeypatch: pytest.MonkeyPatch,
                                                         tmp_path: Path) -> None:
    monkeypatch.setattr(processes, '_SAFE_PATH', setting)
    monkeypatch.chdir(tmp_path)
    workers = WorkerProcesses(1, 30.0)
    try:
        assert workers.submit(SafePath()).result() == (setting, False)
        assert os.environ.get('PYTHONSAFEPATH') == setting
    finally:
        workers.shutdown()
        os.environ.pop('PYTHONSAFEPATH', None)


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
