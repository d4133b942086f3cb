"""What the thread that watches over worker processes meets when one of them ends at the same moment."""
import os
from multiprocessing import Pipe

from occystrap_core.bulk.processes import _Worker


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
