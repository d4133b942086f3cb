"""A worker process of the executor `processes`: it sends heartbeats, and ends when the pipe to its client is closed."""
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol, cast

GRACE = 3.0
"""Seconds that an interrupted image gets to clean up; a transfer alone may take one to notice the cancellation."""
BEAT = b'.'
"""A heartbeat. The first message of a process is its process ID instead."""
SAFE_PATH = 'PYTHONSAFEPATH'
"""The variable that keeps Python from importing files of the current directory."""
_INTERVAL = 0.5
_SENT = 0.1
"""Seconds for sending the answer of an interrupted image, which says what is kept for the next run."""


class _Stoppable(Protocol):
    def stop(self) -> None: ...


_at_work: list[_Stoppable] = []


def restore_safe_path(value: str | None) -> None:
    """Set the variable to what the user has set, or remove it.

    Programs that are started later, such as a credential helper that is a Python script, must not inherit it.
    """
    os.environ.pop(SAFE_PATH, None)
    if value is not None:
        os.environ[SAFE_PATH] = value


def begin(line: Connection, safe_path: str | None) -> None:
    """Initialize the process: SIGINT is ignored and left to the client. `safe_path` is the user's setting."""
    restore_safe_path(safe_path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        line.send_bytes(str(os.getpid()).encode())
    except OSError:  # the client was interrupted meanwhile
        os._exit(1)
    threading.Thread(target=_live, args=(line,), name='line', daemon=True).start()


def execute(work: Callable[[], Any]) -> Any:
    """Run what the client sent."""
    stoppable = cast(_Stoppable, work)
    _at_work.append(stoppable)
    try:
        return work()
    finally:
        _at_work.remove(stoppable)


def _live(line: Connection) -> None:
    """Send heartbeats until the client closes the pipe or dies; then interrupt the work, and end the process."""
    try:
        while not line.poll(_INTERVAL):
            line.send_bytes(BEAT)
    except OSError:
        pass
    for each in list(_at_work):
        each.stop()
    ended = threading.Event()
    for _ in range(int((GRACE - _SENT) / 0.05)):
        if not _at_work:
            break
        ended.wait(0.05)
    ended.wait(_SENT)
    os._exit(1)
