"""Which image a worker copies when: each shared layer is transferred once, and what a dead worker had is done again."""
import queue
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from occystrap_core.bulk.denials import Denials
from occystrap_core.bulk.order_work import Answer, OrderWork, WorkerOptions
from occystrap_core.bulk.pace import Pace
from occystrap_core.errors import OccystrapError, ServiceError, ServiceUnavailable
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan

DEATHS = 3
"""Workers that an image may take with it before it fails."""
REFUSALS = 3
"""How often an image is tried that a service refuses because of too many requests."""
_REMEMBERED = 200_000
"""Layers of which it is remembered where they were brought."""
_LOOK = 0.1


@dataclass(eq=False)
class Job:
    """An order on its way; `earlier` is a receipt of an earlier run, as a line, `goes` the destination without fields.
    """

    order: ImageOrder
    earlier: str = ''
    goes: str = ''
    plan: ImagePlan | None = None
    deaths: int = 0
    refusals: int = 0
    brings: frozenset[tuple[str, str]] = frozenset()
    """The layers that it transfers now, each with the place that all images of the destination find it at."""

    def __post_init__(self) -> None:
        self.goes = self.goes or self.order.destination


@dataclass
class Layers:
    """The layers that are on their way to a destination, and those that are known to be there."""

    on_the_way: set[tuple[str, str]] = field(default_factory=set)
    there: 'OrderedDict[tuple[str, str], str]' = field(default_factory=OrderedDict)
    """The destination of an image that has the layer."""

    def missing(self, plan: ImagePlan) -> frozenset[tuple[str, str]]:
        """Return what nobody has brought."""
        layers = {(plan.store, digest) for digest in plan.layers} if plan.store else set()
        return frozenset(each for each in layers if each not in self.there)

    def brought(self, plan: ImagePlan) -> Mapping[str, str]:
        """Return the digests of what others brought, each with the destination that has it."""
        known = [digest for digest in plan.layers if (plan.store, digest) in self.there]
        for digest in known:  # what is used most is forgotten last
            self.there.move_to_end((plan.store, digest))
        return {digest: self.there[plan.store, digest] for digest in known}

    def ended(self, job: Job, succeeded: bool) -> None:
        """Let others bring what a failed image did not, and find what a good one has."""
        self.on_the_way -= job.brings
        if succeeded:
            self.there.update(dict.fromkeys(job.brings, job.goes))
        while len(self.there) > _REMEMBERED:
            self.there.popitem(last=False)
        job.brings = frozenset()


class Coordinator:
    """Has orders executed by an executor: each image is planned, then copied. Used by one thread."""

    def __init__(self, executor: Executor, slots: int, options: WorkerOptions, check: Callable[[], None],
                 ended: Callable[[ImageDone, str], None], skips: Callable[[], str] = lambda: '') -> None:
        """`check` is called several times a second, and may raise; `ended` with every result, and the worker's name.

        `skips` returns why no image is begun any more, also none that is planned; empty while all are.
        """
        self._executor, self._slots, self._options = executor, slots, options
        self._pace = Pace(slots)
        self._check, self._ended, self._skips = check, ended, skips
        self._ready: queue.SimpleQueue[tuple[Job, Future[Answer]]] = queue.SimpleQueue()
        self._flying: set[Future[Answer]] = set()
        self._again: deque[Job] = deque()
        self._late: deque[Job] = deque()
        """Those that are tried again when all others are done."""
        self._planned: list[Job] = []
        self._layers = Layers()
        self._denials = Denials[tuple[Job, ImageDone, str]](getattr(executor, 'leave_out', None))
        self.workers: Counter[str] = Counter()
        """How many images each worker has ended."""

    @property
    def at_work(self) -> int:
        """The number of images that workers have now."""
        return len(self._flying)

    def by_worker(self) -> Mapping[str, tuple[int, int]]:
        """Return how many images each worker has ended, and has now, as far as the executor knows; on any thread."""
        done, now = dict(self.workers), Counter[str](getattr(self._executor, 'at_work', tuple)())
        return {name: (done.get(name, 0), now[name]) for name in sorted({*done, *now})}

    def kept(self) -> list[str]:
        """Return what interrupted images have kept for the next run, once the executor has ended."""
        notes = list[str]()
        with suppress(queue.Empty):
            while True:
                _, future = self._ready.get_nowait()
                if not future.cancelled() and not future.exception():
                    notes += future.result().kept
        return notes

    def run(self, jobs: Iterator[Job]) -> None:
        """Execute all jobs, of which so many are taken as are needed soon. Raises an OccystrapError of the executor."""
        try:
            while self._fill(jobs) or (self._take_back() and self._fill(jobs)):
                self._take()
        finally:
            for future in self._flying:
                future.cancel()

    def _fill(self, jobs: Iterator[Job]) -> bool:
        """Give the workers what can be done now; return whether they have something to do."""
        while len(self._flying) < self._pace.slots:
            job = self._next(jobs)
            if job is None:
                break
            if reason := self._skips():
                self._check()
                self._end(job, ImageDone(job.order, error=OccystrapError(reason)))
            else:
                self._submit(job)
        return bool(self._flying)

    def _next(self, jobs: Iterator[Job]) -> Job | None:
        """Return what to do next: first images that can be copied, then those to be planned, some ahead."""
        for job in self._planned:
            assert job.plan
            missing = self._layers.missing(job.plan)
            if not missing & self._layers.on_the_way:
                job.brings = missing
                self._planned.remove(job)
                return job
        if self._again:
            return self._again.popleft()
        if len(self._planned) + self._denials.held >= 4 * self._slots:
            return None
        return next(jobs, None) or (self._late.popleft() if self._late else None)

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
        future.add_done_callback(partial(self._put, job))

    def _put(self, job: Job, future: Future[Answer]) -> None:
        self._ready.put((job, future))

    def _take(self) -> None:
        """Wait for the next result, and note what it means."""
        self._check()
        with suppress(queue.Empty):
            job, future = self._ready.get(timeout=_LOOK)
            self._flying.discard(future)
            try:
                answer = future.result()
            except BrokenExecutor as error:
                self._died(job, error)
            except OccystrapError:
                raise
            except Exception as error:  # what cannot be loaded or sent there
                self._failed(job, f'no worker could execute it: {type(error).__name__}: {error}')
            else:
                self._answered(job, answer)

    def _answered(self, job: Job, answer: Answer) -> None:
        refused = bool(answer.result.requests.get('rate_limits'))
        self._pace.answered(refused)
        if isinstance(answer.result, ImagePlan):
            job.plan = answer.result
            self._planned.append(job)
            return
        done = answer.result
        if job.plan:
            done = done._replace(requests=_sum(job.plan.requests, done.requests))
        self._layers.ended(job, done.succeeded)
        if refused and isinstance(done.error, ServiceUnavailable) and job.refusals + 1 < REFUSALS:
            job.refusals += 1
            job.plan = None
            self._late.append(job)
            return
        self._sort(*self._denials.answered(answer.worker, (job, done, answer.worker), done.error))

    def _sort(self, ended: Sequence[tuple[Job, ImageDone, str]], again: Sequence[tuple[Job, ImageDone, str]]) -> None:
        """Note the results that stand, and have the other images done again."""
        for job, done, worker in ended:
            self.workers[worker] += 1
            self._end(job, done, worker)
        for job, _, _ in again:
            self._do_again(job)

    def _take_back(self) -> bool:
        """Decide, when nothing else is left, about images that were denied; return whether some are done again."""
        ended, again = self._denials.rest()
        self._sort(ended, again)
        return bool(again)

    def _do_again(self, job: Job) -> None:
        (self._planned if job.plan else self._again).append(job)

    def _died(self, job: Job, error: BrokenExecutor) -> None:
        """Have an image done again whose worker died, or fail it alone if that is what it does to each."""
        self._layers.ended(job, succeeded=False)
        job.deaths += 1
        if job.deaths < DEATHS:
            self._do_again(job)
            return
        self._failed(job, f'not tried again, since {DEATHS} workers died while copying it; the last error: {error}')

    def _failed(self, job: Job, text: str) -> None:
        self._layers.ended(job, succeeded=False)
        self._end(job, ImageDone(job.order, error=ServiceError(f'{job.order.source}: {text}')))

    def _end(self, job: Job, done: ImageDone, worker: str = '') -> None:
        self._ended(done._replace(order=job.order._replace(destination=job.goes)), worker)


def _sum(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
