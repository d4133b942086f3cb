"""What runs on a Dask worker: an order's work, interrupted when nobody waits for it any more."""
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any, Protocol

from distributed import Worker, get_worker

from occystrap_core import __version__

_LOOK = 0.5


class Work(Protocol):
    """What the core submits."""

    def __call__(self) -> Any:
        """Do it."""

    def stop(self) -> None:
        """Interrupt it."""


def execute(work: Work) -> Any:
    """Do the work, and interrupt it when the task is cancelled, its client is gone, or the worker is closed.

    Raises BrokenExecutor if it was interrupted: a closed worker, such as a retired one, still sends its answer.
    """
    worker, ended, interrupted = get_worker(), threading.Event(), threading.Event()
    threading.Thread(target=_watch, args=(_is_wanted(worker), work, ended, interrupted), name='order',
                     daemon=True).start()
    try:
        answer = work()
    finally:
        ended.set()
    if interrupted.is_set():
        raise BrokenExecutor(f'worker {worker.address} was closed')
    return answer


def loaded() -> str:
    """Return the version of occystrap that is loaded here."""
    return __version__


def _is_wanted(worker: Worker) -> Callable[[], bool]:
    """Return what tells whether somebody waits for the current task: the scheduler releases it otherwise."""
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == 'executing' and worker.status.name == 'running'
    return is_wanted


def _watch(is_wanted: Callable[[], bool], work: Work, ended: threading.Event, interrupted: threading.Event) -> None:
    while not ended.wait(_LOOK):
        if not is_wanted():
            interrupted.set()
            work.stop()
            return
