"""Executes the orders of a proxy: one for each image that clients push or pull, a limited number at once, with
deadlines."""
import asyncio
import gc
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from occystrap_core import AccessDenied, Cancelled, OccystrapError, Settings, VerifyLevel
from occystrap_core.files import print_message
from occystrap_core.oci import Digest
from occystrap_core.orders import ImageDone, ImageOrder, NothingToFilter, run_order
from occystrap_registry.distribution.uploads import is_of_unsent
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.recent_images import FAILED, UNVERIFIED, VERIFIED, RecentImage, RecentImages

T = TypeVar('T')

_LASTING = 300.0
"""Seconds after which logins and facts about hosts are renewed."""
_FLIGHTS = 64
"""The number of pushes and pulls that are executed or wait for their turn, each on a thread."""
_UNFILTERED = 'it is not an image: filters do not apply'


class Limits(NamedTuple):
    """Limits for the orders of a proxy."""

    concurrency: int = 4
    """Number of images that are copied at once."""
    deadline: float = 3600.0
    """Seconds for one image."""


class ImageOrders:
    """Executes orders on threads of its own, and records the results."""

    def __init__(self, settings: Settings, filters: Sequence[str], limits: Limits, recent: RecentImages,
                 layer_cache: str | None = None) -> None:
        """`settings` must ask for verification: without it nothing would count as a success."""
        assert settings.verify is not VerifyLevel.NONE
        self.filters = tuple(filters)
        self._settings, self._limits, self._recent, self._cache = settings, limits, recent, layer_cache
        self._threads = ThreadPoolExecutor(_FLIGHTS, 'flight')
        self._turns = threading.Semaphore(limits.concurrency)
        self._names = [threading.Lock() for _ in range(_FLIGHTS)]
        self._flights: dict[Hashable, Future[Any]] = {}
        self._lock, self._renewed = threading.Lock(), time.monotonic()

    async def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """Return the result of `work`; if the same work is already being done for `key`, that of the other. Raises as
        it does."""
        with self._lock:
            flight: Future[T] | None = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = self._threads.submit(work)
        flight.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(asyncio.wrap_future(flight))

    def execute(self, order: ImageOrder, name: str, direction: str, reference: str,
                then: Callable[[Digest], object]) -> tuple[ImageDone, str]:
        """Return the result of an order, and its notes; `name` is what clients call the image, `reference` its place
        downstream.

        An image to which no filter applies is copied unchanged. `then` is called with the digest of a verified image,
        and may raise OccystrapError. Orders for the same place wait for each other. Raises Problem for one that takes
        too long, or is cancelled because the proxy stops.
        """
        begun, note = time.monotonic(), ''
        with self.alone(reference), self._turns:
            done = self._run(order)
            if isinstance(done.error, NothingToFilter):
                done, note = self._run(order._replace(filters=())), _UNFILTERED
            done = _completed(done, then)
        told = (each for each in done.report.get('notes', ()) if not is_of_unsent(each))
        notes = '; '.join(filter(None, [note, *told]))
        self._note(done, notes, RecentImage(name, reference, done.digest, direction, done.order.filters,
                                            seconds=time.monotonic() - begun, when=time.time()))
        return done, notes

    @contextmanager
    def alone(self, reference: str, patience: float = -1) -> Iterator[None]:
        """Enter exclusively for a place; raises Problem if another thread stays within for `patience` seconds."""
        name = self._names[hash(reference) % len(self._names)]
        if not name.acquire(timeout=patience):
            raise Problem(503, 'UNAVAILABLE', f'{reference} has to wait until an image is copied: try again',
                          {'Retry-After': '10'})
        try:
            yield
        finally:
            name.release()

    def stop(self) -> None:
        """Cancel all orders."""
        self._settings.cancellation.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def renew(self, at_once: bool = False) -> None:
        """Forget logins and facts about hosts if they are old, since they may have changed."""
        with self._lock:
            if not at_once and time.monotonic() - self._renewed < _LASTING:
                return
            self._renewed = time.monotonic()
        self._settings.shared.close()

    def _run(self, order: ImageOrder) -> ImageDone:
        self.renew()
        with self._deadline() as settings:
            done = run_order(order, settings, self._cache)
        gc.collect()  # buffers of compression are in reference cycles
        if isinstance(done.error, AccessDenied):
            self.renew(at_once=True)
        return done

    @contextmanager
    def _deadline(self) -> Iterator[Settings]:
        """Yield the settings for one order, which is cancelled at its deadline; raises Problem then."""
        cancellation = self._settings.cancellation.child()
        timer = threading.Timer(self._limits.deadline, cancellation.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield replace(self._settings, cancellation=cancellation)
        except Cancelled:
            if self._settings.cancellation.cancelled:
                raise Problem(503, 'UNAVAILABLE', 'the proxy is stopping: try again', {'Retry-After': '10'}) from None
            raise Problem(504, 'UNAVAILABLE', f'the image is not stored after {self._limits.deadline:.0f} seconds '
                          '(--deadline)') from None
        finally:
            timer.cancel()

    def _note(self, done: ImageDone, notes: str, image: RecentImage) -> None:
        outcome = VERIFIED if done.succeeded else UNVERIFIED if done.outcome == UNVERIFIED else FAILED
        self._recent.add(image._replace(outcome=outcome, size=done.report.get('bytes', 0),
                                        reason=str(done.error) if done.error else notes))
        if done.error:
            print_message(f'occystrap: {image.direction} of {image.name} failed: {done.error}')

    def _ended(self, key: Hashable, flight: 'Future[Any]') -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _completed(done: ImageDone, then: Callable[[Digest], object]) -> ImageDone:
    """Return the result after calling `then` for a success."""
    if not done.succeeded:
        return done
    assert done.outcome == VERIFIED
    try:
        then(Digest(done.digest))
    except OccystrapError as error:
        return done._replace(error=error)
    return done


class Stored(NamedTuple):
    """The result of a push."""

    digest: Digest | None
    """Its digest downstream; None if it was left out."""
    note: str = ''
    """Why it was changed or left out."""
