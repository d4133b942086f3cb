"""The executor `processes`: worker processes of this machine, an image in each. One that dies is replaced."""
import gc
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from occystrap_core.bulk.worker_process import BEAT, GRACE, begin, execute
from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.orders import worker_name

_SPAWN = get_context('spawn')  # a fork would copy locks that threads hold
_LOOK = 0.5
_STARTING = 'starting'
_START = 60.0
"""Seconds that a new process gets to start, on a machine that is busy."""


@contextmanager
def worker_processes(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Give the executor and its number of processes, which are gone when the block ends."""
    count = options['workers'] or len(os.sched_getaffinity(0))
    workers = WorkerProcesses(count, options['frozen'])
    try:
        yield workers, count
    except BaseException:
        workers.stop()
        raise
    else:
        workers.shutdown()


class WorkerProcesses(Executor):
    """Up to `count` processes, started when there is work for them."""

    def __init__(self, count: int, frozen: float) -> None:
        """`frozen` is the number of seconds after which one that gives no sign of life is killed."""
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._workers = [_Worker(frozen) for _ in range(count)]
        for each in self._workers[::-1]:
            self._idle.put(each)
        self._ended = threading.Event()
        self._starter = DaemonThreads(1, 'start')  # a signal, raised in the main thread, would leave half a process
        threading.Thread(target=self._watch, name='workers', daemon=True).start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Have a worker do it that has nothing to do; waits for one."""
        assert not args and not kwargs
        worker = self._idle.get()
        try:
            future = self._starter.submit(partial(worker.submit, work)).result()
        except BaseException:
            self._idle.put(worker)
            raise
        future.add_done_callback(lambda done: self._idle.put(worker))
        return future

    def at_work(self) -> list[str]:
        """Return the names of the workers that have something to do."""
        return [each.name for each in self._workers if each.is_busy]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, which have nothing to do."""
        self._ended.set()
        for each in self._workers:
            each.end()
        self._starter.close()
        gc.collect()  # names of semaphores are removed with the pools, or Python reports them as leaked

    def stop(self) -> None:
        """Interrupt what they do, give them a moment to clean up, and kill those that are left."""
        self._ended.set()
        self._starter.submit(lambda: None).result()  # behind what is starting
        for each in self._workers:
            each.interrupt()
        until = time.monotonic() + GRACE
        while time.monotonic() < until and any(each.is_busy for each in self._workers):
            time.sleep(0.02)
        for each in self._workers:
            each.kill()
        self.shutdown()

    def _watch(self) -> None:
        """Hear the workers' signs of life, and kill those that give none."""
        while not self._ended.wait(0.02):
            lines = {each.line: each for each in self._workers if each.line and not each.line.closed}
            with suppress(OSError, TypeError, ValueError):  # of a line that another thread closes now
                for heard in wait(list(lines), _LOOK):
                    assert isinstance(heard, Connection)
                    lines[heard].hear()
            for each in self._workers:
                each.kill_if_frozen()


class _Worker:
    """One process at a time, and the line on which it gives signs of life; it ends when the line does."""

    def __init__(self, frozen: float) -> None:
        self._frozen = frozen
        self._pool: ProcessPoolExecutor | None = None
        self._process: int | None = None
        """A file descriptor of the process (pidfd_open(2)), whose number may be another's when it is gone."""
        self._heard = self._allowed = 0.0
        self._guard = threading.RLock()
        """Held while a descriptor is used or closed, which two threads do: its number may be another's afterwards."""
        self.line: Connection | None = None
        self.is_busy = False
        self.name = _STARTING

    def submit(self, work: Callable[[], Any]) -> 'Future[Any]':
        """Have it done; a process that is idle and died is replaced first."""
        self.is_busy = True
        try:
            future = self._submit(work)
        except BrokenProcessPool:
            self._renew()
            future = self._submit(work)
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        future.add_done_callback(partial(self._done, answer))
        return answer

    def _submit(self, work: Callable[[], Any]) -> 'Future[Any]':
        if self._pool is None:
            self._renew()
        assert self._pool
        self._heard = time.monotonic()
        # The process is started here; until it ignores it, a Ctrl-C is not for it
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(execute, work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def _renew(self) -> None:
        """Make another process, which starts with the next work."""
        self.end()
        self.line, theirs = _SPAWN.Pipe()
        self._allowed = _START
        self._pool = ProcessPoolExecutor(1, _SPAWN, begin, (theirs,))

    def _done(self, answer: 'Future[Any]', future: 'Future[Any]') -> None:
        """Pass the result on; the error of a process that died has its name."""
        self.is_busy = False
        error = CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, BrokenProcessPool):
            self._pool = None
            error = BrokenProcessPool(f'worker {self._last_name()} died')
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(future.result())

    def _last_name(self) -> str:
        """Return the name of a process that died, perhaps before it was heard."""
        with suppress(OSError, ValueError):
            self.hear()
        return self.name

    def hear(self) -> None:
        """Take a sign of life; the first one is the number of the process. It may end at the same time."""
        with self._guard:
            if (line := self.line) is None or line.closed:
                return
            try:
                said = line.recv_bytes() if line.poll() else b''
            except (EOFError, OSError):
                line.close()
                return
            if not said:
                return
            if said != BEAT:
                self.name = worker_name(int(said))
                self._process = os.pidfd_open(int(said))
            self._heard, self._allowed = time.monotonic(), self._frozen

    def kill_if_frozen(self) -> None:
        """Kill the process if it has work and was not heard for too long."""
        if self.is_busy and time.monotonic() - self._heard > self._allowed:
            self.kill()

    def interrupt(self) -> None:
        """Have it interrupt what it does."""
        with self._guard:
            if self.line:
                self.line.close()

    def kill(self) -> None:
        """Kill the process; it may end at the same time."""
        with self._guard, suppress(OSError):
            if self._process is not None:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def end(self) -> None:
        """End the process, once it has nothing to do."""
        if self._pool:
            self._pool.shutdown()
            self._pool = None
        self.interrupt()
        with self._guard:
            if self._process is not None:
                os.close(self._process)
            self._process, self.name = None, _STARTING
