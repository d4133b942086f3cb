"""What is said of each image and of a run, and how long it took."""
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from occystrap_core import Image, InvalidImage, Settings, UsageError, VerifyLevel
from occystrap_core.oci import Platform, Reference
from occystrap_core.pipeline.dry_run import PlannedCopy, plan_copies
from occystrap_core.pipeline.run import Run
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import RequestStats
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.provenance import PlatformChoices
from occystrap_core.verification.results import CheckResult, Outcome, Severity
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, memory_plugins, offer
from tests.unit.core.pipeline.test_run import broken


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


class Recorded(Progress):
    """Records what it is told."""

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.moved: dict[str, list[int]] = {}
        self.totals: dict[str, int] = {}
        self.done: list[str] = []
        self.ends = 0

    def begin(self, images: Sequence[ImageReport]) -> None:
        self.begun.append([image.reference for image in images])

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Callable[[int], None]]:
        self.totals[reference] = total
        yield self.moved.setdefault(reference, []).append

    def finished(self, image: ImageReport) -> None:
        self.done.append(image.line())

    def end(self) -> None:
        self.ends += 1


def run(source: str, destination: str = 'memory://shelf', level: VerifyLevel = VerifyLevel.FAST,
        fail_fast: bool = False,
        images: int = 1) -> tuple[RunReport, Recorded]:
    progress = Recorded()
    report = Run(memory_plugins(), Settings(images=images), level, progress, fail_fast=fail_fast).process(source,
                                                                                                          destination)
    return report, progress


@pytest.mark.parametrize(('image', 'line'), [
    (ImageReport('a:b', 'x', 3, 2048, seconds=1.25), 'a:b 3 layers 2.0 KiB 1.2s copied'),
    (ImageReport('a:b', 'x', 1, 2048, seconds=1.25), 'a:b 1 layer 2.0 KiB 1.2s copied'),
    (ImageReport('a:b', 'x', 3, 2048, verb='read'), 'a:b 3 layers 2.0 KiB 0.0s read'),
    (ImageReport('a:b', 'x', outcome=Outcome.VERIFIED), 'a:b 0 layers 0 B 0.0s verified'),
    (ImageReport('a:b', 'x', outcome=Outcome.FAILED), 'a:b 0 layers 0 B 0.0s FAILED'),
    (ImageReport('a:b', 'x', outcome=Outcome.UNVERIFIED), 'a:b 0 layers 0 B 0.0s UNVERIFIED'),
    (ImageReport('a:b', 'x', outcome=Outcome.VERIFIED, done_before=True), 'a:b 0 layers 0 B 0.0s unchanged, verified'),
    (ImageReport('a:b', 'x', outcome=Outcome.VERIFIED, done_before=True, source_asked=False),
     'a:b 0 layers 0 B 0.0s verified, done before, source not asked'),
    (ImageReport('a:b', 'x', outcome=Outcome.VERIFIED, failure='why'), 'a:b FAILED: why')])
def test_the_line_of_an_image(image: ImageReport, line: str) -> None:
    assert image.line() == line


@pytest.mark.parametrize(('outcome', 'failure', 'is_success'), [
    (None, '', True), (Outcome.VERIFIED, '', True), (Outcome.FAILED, '', False), (Outcome.UNVERIFIED, '', False),
    (None, 'why', False), (Outcome.VERIFIED, 'why', False)])
def test_successful_outcomes(outcome: Outcome | None, failure: str, is_success: bool) -> None:
    image = ImageReport('a', 'x', outcome=outcome, failure=failure)
    assert image.succeeded is is_success
    report = RunReport(VerifyLevel.FAST, RequestStats(), [ImageReport('b', 'x', outcome=Outcome.VERIFIED), image])
    assert report.succeeded is is_success and RunReport(VerifyLevel.FAST, RequestStats()).succeeded is False


def test_numbers_in_json() -> None:
    image = ImageReport('a', 'x', 2, 7, seconds=1.23456, notes=['n'], findings=[CheckResult(Severity.ERROR, 'i', 'm')])
    found = image.to_json()
    assert (found['seconds'], found['layers'], found['bytes'], found['notes']) == (1.235, 2, 7, ['n'])
    assert found['findings'] == [{'severity': 'error', 'item': 'i', 'message': 'm'}]
    assert [found[name] for name in ('image_id', 'manifest_digest', 'evidence', 'outcome', 'failure')] == [None] * 5
    assert 'expectations' not in found and 'platforms' not in found
    platforms = PlatformChoices(['linux/amd64'], ['linux/amd64', 'linux/arm64'])
    more = ImageReport('a', 'x', looks=(), platforms=platforms).to_json()
    assert more['expectations'] == () and more['platforms'] == {
        'taken': ['linux/amd64'], 'at_source': ['linux/amd64', 'linux/arm64']}
    report = RunReport(VerifyLevel.FULL, RequestStats(5, 1, 2), [image], 2.34567).to_json()
    assert (report['seconds'], report['requests'], report['retries'], report['rate_limits']) == (2.346, 5, 1, 2)


@pytest.mark.parametrize(('level', 'images', 'ending'), [
    (VerifyLevel.FAST, [Outcome.VERIFIED, Outcome.UNVERIFIED, Outcome.FAILED], '1/3 verified, 1 UNVERIFIED, 1 FAILED'),
    (VerifyLevel.FAST, [Outcome.VERIFIED] * 3, '3/3 verified'), (VerifyLevel.FAST, [Outcome.FAILED] * 2,
                                                                 '0/2 verified, 2 FAILED'),
    (VerifyLevel.NONE, [None] * 3, '0.0s')])
def test_the_end_of_a_summary(level: VerifyLevel, images: list[Outcome | None], ending: str) -> None:
    report = RunReport(level, RequestStats(), [ImageReport('a', 'x', outcome=outcome) for outcome in images])
    assert report.summary().endswith(f', {ending}')


def test_images_done_before_are_counted() -> None:
    images = [ImageReport('a', 'x', done_before=True), ImageReport('b', 'x'), ImageReport('c', 'x', done_before=True,
                                                                                          failure='why')]
    assert ', 1 unchanged, ' in RunReport(VerifyLevel.NONE, RequestStats(), images).summary()
    images[0].source_asked = False
    assert ', 1 done before (source not asked), ' in RunReport(VerifyLevel.NONE, RequestStats(), images).summary()


def test_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    report, _ = run(offer('one'))
    assert 0 < report.images[0].seconds <= report.seconds <= time.monotonic() - began
    failing, _ = run(f'{offer("one")},{offer("bad", image=broken).removeprefix("memory://")}')
    assert 0 < failing.images[1].seconds <= failing.seconds


def test_progress_hears_of_every_image_and_byte() -> None:
    source = offer('one', 'two')
    offer('bad', image=broken)
    report, progress = run(f'{source},bad', 'memory://to-{name}')
    size = sum(layer.stored_size for layer in sample_image().layers)
    assert progress.begun == [['one', 'two', 'bad']] and progress.ends == 1
    assert progress.totals['one'] == progress.totals['two'] == size
    assert sum(progress.moved['one']) == size == sum(progress.moved['two'])
    assert sorted(line.partition(' ')[0] for line in progress.done) == ['bad', 'one', 'two']


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_layers_that_are_there_are_moved_too(form: str) -> None:
    offer('one', 'two')
    run('memory://one', f'memory://shelf?form={form}')
    _, progress = run('memory://two', f'memory://shelf?form={form}')
    assert sum(progress.moved['two']) == progress.totals['two'] > 0


def test_without_fail_fast_the_others_go_on_and_with_it_none_begins() -> None:
    offer('bad', image=broken)
    offer('one')
    report, progress = run('memory://bad,one', fail_fast=True)
    assert report.images[1].failure == 'skipped, since another image failed (--fail-fast)'
    assert [line.partition(' ')[0] for line in progress.done] == ['bad']
    report, _ = run('memory://bad,one')
    assert report.images[1].succeeded


# Dry runs

@pytest.mark.parametrize(('plan', 'line'), [
    (PlannedCopy('s', 'd', 3, 2048), 'would copy s to d: 3 layers, 2.0 KiB'),
    (PlannedCopy('s', 'd', 3), 'would copy s to d: 3 layers, size unknown'),
    (PlannedCopy('s', 'd', 3, 0), 'would copy s to d: 3 layers, 0 B'),
    (PlannedCopy('s', 'd', 3, 2048, 1, 1024), 'would copy s to d: 3 layers, 2.0 KiB, 1 (1.0 KiB) already there'),
    (PlannedCopy('s', 'd', 3, 2048, notes=['x', 'y']), 'would copy s to d: 3 layers, 2.0 KiB; x; y'),
    (PlannedCopy('s', 'd', 3, 2048, failure='why'), 'would fail: s: why')])
def test_the_line_of_a_planned_copy(plan: PlannedCopy, line: str) -> None:
    assert plan.line() == line


def test_a_plan_in_json() -> None:
    assert PlannedCopy('s', 'd').to_json() == {'source': 's', 'destination': 'd', 'layers': 0, 'size': None,
                                               'layers_there': 0,
                                               'size_there': 0, 'failure': '', 'notes': [], 'unchanged': False}


def plan(source: str, destination: str = 'memory://shelf', filters: Sequence[str] = (),
         settings: Settings | None = None,
         ) -> list[PlannedCopy]:
    return list(plan_copies(memory_plugins(), settings or Settings(), source, destination, filters))


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_a_plan_has_what_is_there_and_what_is_not(form: str) -> None:
    source = offer('one')
    size = sum(layer.stored_size for layer in sample_image().layers)
    found, = plan(source, f'memory://shelf?form={form}')
    assert (found.layers, found.size, found.layers_there, found.size_there, found.failure) == (3, size, 0, 0, '')
    run(source, f'memory://shelf?form={form}')
    found, = plan(source, f'memory://shelf?form={form}')
    assert (found.layers, found.size, found.layers_there, found.size_there) == (3, size, 3, size)
    first = sample_image().layers[0]
    digest = first.descriptor.digest if form == 'stored' and first.descriptor else first.diff_id
    assert digest
    SHELVES['shelf'].blobs.pop(digest)
    found, = plan(source, f'memory://shelf?form={form}')
    assert (found.layers_there, found.size_there) == (2, size - first.stored_size)


def test_with_filters_nothing_is_said_to_be_there() -> None:
    source = offer('one')
    run(source)
    found, = plan(source, filters=['normalize-timestamps:ts=1'])
    assert (found.layers, found.layers_there, found.failure) == (3, 0, '')


def test_a_plan_of_what_cannot_be_opened_says_why() -> None:
    def fail(name: str) -> Image:
        raise InvalidImage('it is broken')
    source = offer('bad', image=fail)
    offer('one')
    found = plan(f'{source},one')
    assert [each.failure for each in found] == ['it is broken', '']
    assert found[0].line() == 'would fail: memory://bad: it is broken'


def test_a_plan_has_the_platform_in_mind() -> None:
    found, = plan(offer('one'), settings=Settings(platform=Platform.parse('linux/s390x')))
    assert 'linux/s390x' in found.failure


def test_a_plan_refuses_what_a_copy_would_refuse() -> None:
    with pytest.raises(UsageError, match='the same place'):
        plan('memory://same', 'memory://same')


def test_copies_are_asked_for_by_their_reference() -> None:
    report, _ = run(offer('one'))
    assert report.images[0].reference == str(Reference.parse('one')) == 'one'
