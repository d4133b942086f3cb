"""Orders are made while others are executed: whoever is slow to list its images holds up nobody."""
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest

from occystrap_core import Location, Place, ServiceError, Settings, UsageError, VerifyLevel
from occystrap_core.api.schemes import ExecutorKind
from occystrap_core.bulk.bulk_run import BulkRun
from occystrap_core.bulk.jobs import Job
from occystrap_core.bulk.order_work import Answer, OrderWork
from occystrap_core.bulk.orders_ahead import OrdersAhead
from occystrap_core.cancellation import Cancellation
from occystrap_core.oci import Reference
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan
from occystrap_core.report.progress import Progress
from tests.unit.core.pipeline.memory import MemoryInput, MemoryOutput, memory_plugins

copied = threading.Event()


class Slow(MemoryInput):
    """Lists two images, and when one is copied some more; one named `cut` ends the list with an error."""

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one image."""
        return self.location.with_path(reference.familiar)

    def stream(self) -> Iterator[Sequence[Reference]]:
        """Yield them."""
        found = list(self.references())
        yield found[:2]
        assert copied.wait(10), 'nothing is copied before all is listed'
        for each in found[2:]:
            if each.name == 'cut':
                raise ServiceError('the list was cut')
            yield [each]


class OnePlace(MemoryOutput):
    """Takes one image at each path."""

    def place(self, reference: Reference) -> Place:
        """Return the path."""
        return Place('', self.location.path)


class Nothing(Executor):
    """Copies nothing, and says so at once."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Answer."""
        assert isinstance(work, OrderWork)
        future: Future[Any] = Future()
        if work.plan:
            copied.set()
        future.set_result(Answer(ImageDone(work.order, 'verified') if work.plan else ImagePlan(work.order), 'worker'))
        return future


@contextmanager
def nothing(options: Any, note: Any) -> Iterator[tuple[Executor, int]]:
    """Give the executor."""
    yield Nothing(), 2


def run(source: str) -> BulkRun:
    """Copy the images of a source, and return the run."""
    copied.clear()
    plugins = memory_plugins(f'{__name__}:OnePlace', f'{__name__}:Slow')
    kind = ExecutorKind('nothing', f'{__name__}:nothing')
    made = BulkRun(plugins, Settings(), VerifyLevel.FAST, Progress(), kind, {})
    made.process(source, ['memory://shelf-{repository}', 'memory://other-{repository}'])
    return made


def test_images_are_copied_before_all_are_listed_which_happens_once_for_all_destinations() -> None:
    report = run('memory://one:v1,two:v1,three:v1,four:v1').report
    assert report and report.succeeded and report.count == 8


def test_a_list_that_is_cut_is_a_failure_and_what_it_had_is_copied() -> None:
    report = run('memory://one:v1,two:v1,three:v1,cut:v1').report
    assert report and [each.failure for each in report.images] == ['the list was cut'] * 2 and report.count == 8


def test_a_mistake_shows_itself_before_anything_begins_and_a_later_one_when_it_is_reached() -> None:
    def makes(count: int) -> Iterator[Job]:
        yield from (Job(ImageOrder(str(number), 'to')) for number in range(count))
        raise UsageError('wrong')
    with pytest.raises(UsageError, match='wrong'):
        OrdersAhead(Cancellation()).start(makes(1), 2, lambda: None)
    later = OrdersAhead(Cancellation())
    later.start(makes(3), 2, lambda: None)
    found = list[Any]()
    with pytest.raises(UsageError, match='wrong'):
        found.extend(later)
    later.close()


def test_its_thread_ends_with_the_run() -> None:
    def endless() -> Iterator[Job]:
        while True:
            yield Job(ImageOrder('a', 'b'))
    ahead = OrdersAhead(Cancellation())
    ahead.start(endless(), 2, lambda: None)
    ahead.close()
    assert not [each for each in threading.enumerate() if each.name == 'orders']
