"""Decides which worker copies which image when: each shared layer is transferred once, and images of dead workers are
retried."""
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial

from occystrap_core.bulk.denials import Denials
from occystrap_core.bulk.jobs import Job, Layers
from occystrap_core.bulk.order_work import Answer, OrderWork, WorkerOptions
from occystrap_core.bulk.pace import HostPaces
from occystrap_core.errors import OccystrapError, ServiceError, ServiceUnavailable
from occystrap_core.orders import ImageDone, ImagePlan
from occystrap_core.pipeline.lane_threads import REFUSALS

DEATHS = 3
"""An image fails after this number of workers died while copying it."""
_HELD = 10_000
"""At most this many images wait for a host that asks for fewer requests, while images of other hosts are looked for."""
_LOOK = 0.1


class Coordinator:
    """Executes orders on an executor: each image is planned, then copied. Used by one thread."""

    def __init__(self, executor: Executor, slots: int, options: WorkerOptions, check: Callable[[], None],
                 ended: Callable[[ImageDone, str], None], skips: Callable[[], str] = lambda: '') -> None:
        """`check` is called several times a second, and may raise; `ended` gets each result with the worker's name.

        `skips` returns why images, also planned ones, are not started any more; empty as long as they are.
        """
        self._executor, self._slots, self._options = executor, slots, options
        self._paces = HostPaces(slots)
        self._check, self._ended, self._skips = check, ended, skips
        self._ready: queue.SimpleQueue[tuple[Job, Future[Answer]]] = queue.SimpleQueue()
        self._flying: set[Future[Answer]] = set()
        self._again: deque[Job] = deque()
        self._late: deque[Job] = deque()
        """Refused because of too many requests; tried again when all others are done."""
        self._planned: list[Job] = []
        self._is_listing = False
        """Whether more jobs may come although none is available now."""
        self._layers = Layers()
        self._denials = Denials[tuple[Job, ImageDone, str]](getattr(executor, 'leave_out', None))
        self.workers: Counter[str] = Counter()
        """How many images each worker has finished."""

    @property
    def at_work(self) -> int:
        """The number of images that workers are copying or planning now."""
        return len(self._flying)

    def by_worker(self) -> Mapping[str, tuple[int, int]]:
        """Return for each worker how many images it has finished, and how many it has now; called on any thread.

        The latter only as far as the executor reports it.
        """
        done, now = dict(self.workers), Counter[str](getattr(self._executor, 'at_work', tuple)())
        return {name: (done.get(name, 0), now[name]) for name in sorted({*done, *now})}

    def kept(self) -> list[str]:
        """Return notes on what interrupted images have kept for the next run, once the executor has ended."""
        notes = list[str]()
        with suppress(queue.Empty):
            while True:
                _, future = self._ready.get_nowait()
                if not future.cancelled() and not future.exception():
                    notes += future.result().kept
        return notes

    def run(self, jobs: Iterator[Job | ImageDone | None]) -> None:
        """Execute all jobs, taking each only when it is soon needed. Raises an OccystrapError of the executor.

        `jobs` also yields results of images that cannot become jobs, and None while the next one is not known yet.
        """
        try:
            while self._fill(jobs) or (self._take_back() and self._fill(jobs)):
                self._take()
        finally:
            for future in self._flying:
                future.cancel()

    def _fill(self, jobs: Iterator[Job | ImageDone | None]) -> bool:
        """Submit jobs while there are free slots; return whether any job is running, or may still come."""
        self._is_listing = False
        while len(self._flying) < self._slots:
            job = self._next(jobs)
            if job is None:
                break
            if reason := self._skips():
                self._check()
                self._end(job, ImageDone(job.order, error=OccystrapError(reason)))
            else:
                self._submit(job)
        return bool(self._flying) or self._is_listing

    def _next(self, jobs: Iterator[Job | ImageDone | None]) -> Job | None:
        """Return the next job: first those that can be copied, then those to be planned, a limited number ahead."""
        for job in self._planned:
            assert job.plan
            if not self._paces.may_begin(job):
                continue
            missing = self._layers.missing(job.plan)
            if not missing & self._layers.on_the_way:
                job.brings = missing
                self._planned.remove(job)
                return job
        if self._again:
            return self._again.popleft()
        if len(self._planned) - self._paces.waiting(self._planned) + self._denials.held >= 4 * self._slots:
            return None
        return self._paces.next() or self._new(jobs)

    def _new(self, jobs: Iterator[Job | ImageDone | None]) -> Job | None:
        """Return a new job that may start now, holding back others; when there are no new jobs, one that was refused
        before."""
        while self._paces.held < _HELD:
            try:
                job = next(jobs)
            except StopIteration:
                job = self._late.popleft() if self._late else None
            else:
                self._is_listing = job is None
            if job is None:
                break
            if isinstance(job, ImageDone):
                self._ended(job, '')
            elif self._paces.may_begin(job):
                return job
            else:
                self._paces.hold(job)
        return None

    def _submit(self, job: Job) -> None:
        brought = self._layers.brought(job.plan) if job.plan else {}
        self._layers.on_the_way |= job.brings
        work = OrderWork(job.order, self._options, job.earlier, job.plan, brought)
        future: Future[Answer]
        try:
            future = self._executor.submit(work)
        except BrokenExecutor as error:
            future = Future()
            future.set_exception(error)
        self._flying.add(future)
        self._paces.begun(job)
        future.add_done_callback(partial(self._put, job))

    def _put(self, job: Job, future: Future[Answer]) -> None:
        self._ready.put((job, future))

    def _take(self) -> None:
        """Wait briefly for the next result, and handle it."""
        self._check()
        with suppress(queue.Empty):
            job, future = self._ready.get(timeout=_LOOK)
            self._flying.discard(future)
            self._paces.ended(job, _hosts(future))
            try:
                answer = future.result()
            except BrokenExecutor as error:
                self._died(job, error)
            except OccystrapError:
                raise
            except Exception as error:  # a result or a callable that cannot be unpickled
                self._failed(job, f'no worker could execute it: {type(error).__name__}: {error}')
            else:
                self._answered(job, answer)

    def _answered(self, job: Job, answer: Answer) -> None:
        if isinstance(answer.result, ImagePlan):
            job.plan = answer.result
            self._planned.append(job)
            return
        done = answer.result
        if job.plan:
            done = done._replace(requests=_sum(job.plan.requests, done.requests))
        self._layers.ended(job, done.succeeded)
        refused = isinstance(done.error, ServiceUnavailable) and any(done.hosts.values())
        if refused and job.refusals + 1 < REFUSALS:
            job.refusals += 1
            job.plan = None
            self._late.append(job)
            return
        self._sort(*self._denials.answered(answer.worker, (job, done, answer.worker), done.error))

    def _sort(self, ended: Sequence[tuple[Job, ImageDone, str]], again: Sequence[tuple[Job, ImageDone, str]]) -> None:
        """End the jobs whose results are final, and repeat the others."""
        for job, done, worker in ended:
            self.workers[worker] += 1
            self._end(job, done, worker)
        for job, _, _ in again:
            self._do_again(job)

    def _take_back(self) -> bool:
        """Decide about denied images when nothing else is left to do; return whether there were any.

        Some of them may be repeated, so there may be work again.
        """
        ended, again = self._denials.rest()
        self._sort(ended, again)
        return bool(ended or again)

    def _do_again(self, job: Job) -> None:
        (self._planned if job.plan else self._again).append(job)

    def _died(self, job: Job, error: BrokenExecutor) -> None:
        """Repeat an image whose worker died, or fail it if too many workers died while they had it."""
        self._layers.ended(job, succeeded=False)
        job.deaths.append(str(error))
        if len(job.deaths) < DEATHS:
            self._do_again(job)
            return
        self._failed(job, f'not tried again, since {DEATHS} workers died while copying it: {", ".join(job.deaths)}')

    def _failed(self, job: Job, text: str) -> None:
        self._layers.ended(job, succeeded=False)
        self._end(job, ImageDone(job.order, error=ServiceError(f'{job.order.source}: {text}')))

    def _end(self, job: Job, done: ImageDone, worker: str = '') -> None:
        self._ended(done._replace(order=job.order._replace(destination=job.goes)), worker)


def _hosts(future: Future[Answer]) -> Mapping[str, bool]:
    """Return the hosts that were asked for an image, as far as they are known."""
    return {} if future.cancelled() or future.exception() else future.result().result.hosts


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
