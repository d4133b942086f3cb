"""The executor `processes`: worker processes on this machine, one image in each. One that dies is replaced."""
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

from occystrap_core.bulk.worker_process import BEAT, GRACE, SAFE_PATH, begin, execute, restore_safe_path
from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.orders import worker_name

_SPAWN = get_context('spawn')  # a fork would copy locks held by threads
_LOOK = 0.5
_STARTING = 'starting'
_START = 60.0
"""Seconds that a new process may take to start on a busy machine."""
_SAFE_PATH = os.environ.get(SAFE_PATH)


@contextmanager
def worker_processes(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Yield the executor and its number of processes, which end with the block."""
    count = options['workers'] or len(os.sched_getaffinity(0))
    workers = WorkerProcesses(count, options['frozen'])
    try:
        yield workers, count
    except BaseException:
        workers.stop()
        raise
    else:
        workers.shutdown()


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep each Python that is started in the block from importing files of the current directory.

    multiprocessing starts its processes, and one that watches semaphores, with -c, which looks there first.
    """
    os.environ[SAFE_PATH] = '1'
    try:
        yield
    finally:
        restore_safe_path(_SAFE_PATH)


class WorkerProcesses(Executor):
    """Up to `count` processes, started when there is work for them."""

    def __init__(self, count: int, frozen: float) -> None:
        """`frozen`: after this many seconds without a heartbeat a process is killed."""
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._workers = [_Worker(frozen) for _ in range(count)]
        for each in self._workers[::-1]:
            self._idle.put(each)
        self._ended = threading.Event()
        self._starter = DaemonThreads(1, 'start')  # the main thread, where signals raise, could leave half a process
        threading.Thread(target=self._watch, name='workers', daemon=True).start()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Run `work` on an idle worker, waiting for one if all are busy."""
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
        """Return the names of the busy workers."""
        return [each.name for each in self._workers if each.is_busy]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers, all of which must be idle."""
        self._ended.set()
        for each in self._workers:
            each.end()
        self._starter.close()
        gc.collect()  # removes the names of semaphores of dropped pools, which Python would report as leaked

    def stop(self) -> None:
        """Interrupt the workers, give them a moment to clean up, and kill those that are left."""
        self._ended.set()
        self._starter.submit(lambda: None).result()  # waits until workers that are being started are
        for each in self._workers:
            each.interrupt()
        until = time.monotonic() + GRACE
        while time.monotonic() < until and any(each.is_busy for each in self._workers):
            time.sleep(0.02)
        for each in self._workers:
            each.kill()
        self.shutdown()

    def _watch(self) -> None:
        """Receive the workers' heartbeats, and kill those that send none."""
        while not self._ended.wait(0.02):
            lines = {each.line: each for each in self._workers if each.line and not each.line.closed}
            with suppress(OSError, TypeError, ValueError):  # another thread may be closing the pipe
                for heard in wait(list(lines), _LOOK):
                    assert isinstance(heard, Connection)
                    lines[heard].hear()
            for each in self._workers:
                each.kill_if_frozen()


class _Worker:
    """One worker: a process and its pipe for heartbeats, replaced when the process dies. The process ends when the pipe
    does."""

    def __init__(self, frozen: float) -> None:
        self._frozen = frozen
        self._pool: ProcessPoolExecutor | None = None
        self._process: int | None = None
        """A pidfd (pidfd_open(2)): the number of a dead process may be reused."""
        self._heard = self._allowed = 0.0
        self._guard = threading.RLock()
        """Held while a descriptor is used or closed by one of two threads, since its number may be reused after
        closing."""
        self.line: Connection | None = None
        self.is_busy = False
        self.name = _STARTING

    def submit(self, work: Callable[[], Any]) -> 'Future[Any]':
        """Run `work` in the process; an idle process that died is replaced first."""
        self.is_busy = True
        with _safe_path():
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
        # submit() starts the process here, with SIGINT blocked: a Ctrl-C must not end it before it ignores SIGINT
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(execute, work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def _renew(self) -> None:
        """Replace the process; the new one starts with the next `submit`."""
        self.end()
        self.line, theirs = _SPAWN.Pipe()
        self._allowed = _START
        self._pool = ProcessPoolExecutor(1, _SPAWN, begin, (theirs, _SAFE_PATH))

    def _done(self, answer: 'Future[Any]', future: 'Future[Any]') -> None:
        """Pass the result on; the error for a dead process names it."""
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
        """Return the name of a dead process, which it may have sent only just before it died."""
        with suppress(OSError, ValueError):
            self.hear()
        return self.name

    def hear(self) -> None:
        """Receive a message: the first one is the process ID, others are heartbeats. The process may end meanwhile."""
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
        """Kill the process if it is busy and has sent no heartbeat for too long."""
        if self.is_busy and time.monotonic() - self._heard > self._allowed:
            self.kill()

    def interrupt(self) -> None:
        """Interrupt the work of the process."""
        with self._guard:
            if self.line:
                self.line.close()

    def kill(self) -> None:
        """Kill the process, which may end at the same time."""
        with self._guard, suppress(OSError):
            if self._process is not None:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def end(self) -> None:
        """End the process, after its work."""
        if self._pool:
            self._pool.shutdown()
            self._pool = None
        self.interrupt()
        with self._guard:
            if self._process is not None:
                os.close(self._process)
            self._process, self.name = None, _STARTING
