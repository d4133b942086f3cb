"""What runs on a Dask worker: the work of an order, interrupted when nobody waits for it any more."""
import threading
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor
from typing import Any, Protocol

from distributed import Worker, get_worker

from occystrap_core.orders import worker_name

_LOOK = 0.5


class Work(Protocol):
    """What the core submits."""

    def __call__(self) -> Any:
        """Run the work."""

    def stop(self) -> None:
        """Interrupt the work."""


_at_work: dict[str, Work] = {}
"""The work in progress, by the key of its task."""


def new_key() -> str:
    """Return the key of a new task; what is before its last hyphen is the task's group."""
    return f'occystrap-image-{uuid.uuid4().hex}'


def execute(work: Work) -> Any:
    """Run the work, and interrupt it when the task is cancelled, its client is gone, or the worker is closed.

    Raises BrokenExecutor if it was interrupted, since a closed worker, such as a retired one, still sends its answer.
    """
    worker, ended, interrupted = get_worker(), threading.Event(), threading.Event()
    key = str(worker.get_current_task())
    _at_work[key] = work
    threading.Thread(target=_watch, args=(_is_wanted(worker), work, ended, interrupted), name='order',
                     daemon=True).start()
    try:
        answer = work()
    finally:
        ended.set()
        del _at_work[key]
    if interrupted.is_set():
        raise BrokenExecutor(f'worker {worker.address} was closed')
    return answer


def interrupt(keys: Collection[str]) -> None:
    """Interrupt the work of these tasks, all of one client, which then return their results."""
    for key in keys:
        if work := _at_work.get(key):
            work.stop()


def loaded() -> str:
    """Return the name of this worker; this also loads occystrap there."""
    return worker_name()


def _is_wanted(worker: Worker) -> Callable[[], bool]:
    """Return a function that tells whether anybody still waits for the current task; if not, the scheduler releases it.
    """
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
