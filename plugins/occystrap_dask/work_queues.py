"""Sends work to workers, and receives their answers, by Dask's queues at the scheduler: one for each worker, one back.
"""
import pickle
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import distributed

from occystrap_dask.worker_task import BEGUN, DISMISSED, interrupt, take_work

_WAIT = 1.0


@dataclass(eq=False)
class Taker:
    """A worker's task, which takes work from a queue; `future` is the work that it has."""

    worker: str
    queue: 'distributed.Queue'
    task: 'distributed.Future'
    future: 'Future[Any] | None' = None
    has_begun: bool = False
    """Whether it takes work; until then its worker is busy with something else, and would hold up what it gets."""
    is_closed: bool = False

    @property
    def name(self) -> str:
        """The name of its queue, which comes with each answer."""
        return str(self.queue.name)


class WorkQueues:
    """The queues of one run. Nothing here waits for the scheduler but `open` and `close`."""

    def __init__(self, client: 'distributed.Client', begun: Callable[[str], None],
                 answered: Callable[[str, bytes], None], failed: Callable[[Exception], None]) -> None:
        """`begun` gets the name of a queue from which work is taken from now on, `answered` that and the answer to its
        work, `failed` the error that ends all."""
        self._client, self._begun, self._answered, self._failed = client, begun, answered, failed
        self._run = f'occystrap-{uuid.uuid4().hex}'
        self._answers = distributed.Queue(f'{self._run}-answers', client)
        self._unsent: SimpleQueue[tuple[Taker, bytes] | None] = SimpleQueue()
        self._opened = 0
        self._ended = threading.Event()
        self._sender = threading.Thread(target=self._until_failed, args=(self._send_all,), name='work', daemon=True)
        self._receiver = threading.Thread(target=self._until_failed, args=(self._receive_all,), name='answers',
                                          daemon=True)
        self._sender.start()
        self._receiver.start()

    def open(self, worker: str) -> Taker:
        """Return the taker of a worker, which begins as soon as the worker has a free thread."""
        name = f'{self._run}-{uuid.uuid4().hex}'
        queue = distributed.Queue(name, self._client)
        self._opened += 1
        task = self._client.submit(take_work, name, self._answers.name, key=name, workers=[worker],
                                   allow_other_workers=False, retries=0)
        taker = Taker(worker, queue, task)
        if self._ended.is_set():  # while it was opened
            self.close(taker)
        return taker

    def send(self, taker: Taker, work: bytes) -> None:
        """Send pickled work, at some later time."""
        self._unsent.put((taker, work))

    def close(self, taker: Taker, for_worker: bool = False) -> None:
        """Cancel the worker's task, and forget its queue, also for the worker if that may be gone."""
        taker.is_closed = True
        with suppress(Exception):  # the scheduler may be gone
            taker.task.cancel()
            for _ in range(2 if for_worker else 1):  # the scheduler counts who has the queue
                taker.queue.close()

    def interrupt(self, takers: Sequence[Taker]) -> None:
        """Make workers interrupt their work and answer, at some later time; a frozen one does not delay the others."""
        threading.Thread(target=self._interrupt, args=(takers,), name='interrupt', daemon=True).start()

    def _interrupt(self, takers: Sequence[Taker]) -> None:
        with suppress(Exception):  # their tasks are cancelled soon in any case
            self._client.run(interrupt, [each.name for each in takers], workers=[each.worker for each in takers],
                             on_error='ignore')

    def end(self, takers: Iterable[Taker], seconds: float) -> None:
        """Dismiss the takers, waiting for the scheduler so many seconds at most, and close all queues."""
        self._ended.set()
        found = list(takers)
        for taker in found:
            self._unsent.put((taker, DISMISSED))
        self._unsent.put(None)
        self._sender.join(seconds)
        for taker in found:
            self.close(taker)
        with suppress(Exception):  # as above
            for _ in range(1 + self._opened):  # as many as have had it, since workers that are gone never close it
                self._answers.close()

    def _until_failed(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever it is, the run cannot go on
            if not self._ended.is_set():
                self._failed(error)

    def _send_all(self) -> None:
        while sending := self._unsent.get():
            taker, work = sending
            try:
                taker.queue.put(work)
            except Exception:
                if not taker.is_closed:
                    raise

    def _receive_all(self) -> None:
        while not self._ended.is_set():
            try:
                name, answer = self._answers.get(timeout=_WAIT)
            except TimeoutError:
                continue
            if answer == BEGUN:
                self._begun(name)
            else:
                self._answered(name, answer)


def result_of(answer: bytes) -> tuple[Any, BaseException | None]:
    """Return the result and the exception of an answer, one of which is None."""
    try:
        result, error = pickle.loads(answer)
    except Exception as problem:  # of a class that this process does not have
        return None, problem
    return result, error
