"""A worker process of the executor `processes`: it gives signs of life, and ends with the line to its client."""
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol, cast

GRACE = 3.0
"""Seconds that an interrupted image gets to clean up; a transfer alone may take one to notice that it is given up."""
BEAT = b'.'
"""A sign of life; the first thing that a process says is its number."""
_INTERVAL = 0.5
_SENT = 0.1
"""Seconds in which the answer of an interrupted image, which says what is kept for the next run, goes out."""


class _Stoppable(Protocol):
    def stop(self) -> None: ...


_at_work: list[_Stoppable] = []


def begin(line: Connection) -> None:
    """Prepare the process, which leaves signals of the terminal to the client."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        line.send_bytes(str(os.getpid()).encode())
    except OSError:  # the client was interrupted meanwhile
        os._exit(1)
    threading.Thread(target=_live, args=(line,), name='line', daemon=True).start()


def execute(work: Callable[[], Any]) -> Any:
    """Do what the client sent."""
    stoppable = cast(_Stoppable, work)
    _at_work.append(stoppable)
    try:
        return work()
    finally:
        _at_work.remove(stoppable)


def _live(line: Connection) -> None:
    """Give signs of life until the client hangs up or is gone; then interrupt what is done, and end."""
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
