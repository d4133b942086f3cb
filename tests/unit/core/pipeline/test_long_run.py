"""Runs of very many images: the last are found while the first are copied, and what is done is counted, not kept."""
import io
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import (
    Image, ImageOutput, Location, Place, Receipt, ServiceError, Settings, UsageError, VerifyLevel, WrittenImage,
)
from occystrap_core.errors import TooManyRequests
from occystrap_core.oci import Reference
from occystrap_core.pipeline.run import Run
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.progress_kinds import PlainProgress
from occystrap_core.report.run_report import RunReport
from occystrap_core.testing.sample import sample_image
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, MemoryInput, MemoryOutput, memory_plugins, offer
from tests.unit.core.pipeline.test_run import broken

HERE = 'tests.unit.core.pipeline.test_long_run'
copied, shown = threading.Event(), threading.Event()
published: list[int] = []
closed: list[str] = []
opened: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin runs as soon as two images are known."""
    for each in (SHELVES, IMAGES, published, closed, opened, copied, shown):
        each.clear()
    monkeypatch.setattr('occystrap_core.pipeline.run.WINDOW', 2)


class Pages(MemoryInput):
    """Lists images one by one: `wait` waits till one is copied, `see` till that is shown, `cut` ends it with an error.
    """

    def location_of(self, reference: Reference) -> Location:
        return self.location.with_path(reference.repository)

    def stream(self) -> Iterator[Sequence[Reference]]:
        for each in self.references():
            if each.repository == 'cut':
                raise ServiceError('the list was cut')
            if gate := {'wait': copied, 'see': shown}.get(each.repository):
                assert gate.wait(10), 'nothing is copied before all is listed'
            else:
                yield [each]

    def open(self, reference: Reference) -> Image:
        opened[reference.repository] += 1
        return super().open(reference)

    def close(self) -> None:
        closed.append(self.location.path)


class OnePlace(MemoryOutput):
    """Takes one image at each path."""

    def place(self, reference: Reference) -> Place:
        return Place('', self.location.path)

    def finalize(self, image: WrittenImage) -> Receipt:
        copied.set()
        return super().finalize(image)


class Files(MemoryOutput):
    """Has a path for each image."""

    def place(self, reference: Reference) -> Place:
        return Place.at(self.location.path)


class Archive(MemoryOutput):
    """Images become visible together, unless they are to go to registry."""

    def __init__(self, location: Any, settings: Settings) -> None:
        super().__init__(location, settings)
        self.together = None if location.path.startswith('registry') else location.path

    def publish(self, outputs: Sequence[ImageOutput]) -> None:
        published.append(len(outputs))


def process(source: str, *destinations: str, output: str = 'OnePlace', progress: Progress | None = None,
            keeps_images: bool = False, fail_fast: bool = False, keeps: Sequence[str] = ()) -> RunReport:
    """Copy the images of a source."""
    plugins = memory_plugins(f'{HERE}:{output}', f'{HERE}:Pages', keeps=keeps)
    run = Run(plugins, Settings(images=2), VerifyLevel.FAST, progress or Progress(), fail_fast=fail_fast,
              keeps_images=keeps_images)
    return run.process(source, destinations or ('memory://to-{repository}',))


def test_images_are_copied_before_all_are_listed() -> None:
    report = process(offer('one', 'two', 'wait', 'three', 'four'))
    assert report.succeeded and report.count == 4 and not report.images
    assert report.summary().startswith('Summary: 4/4 images, 12 layers') and report.summary().endswith('4/4 verified')
    assert len(SHELVES['to-four'].images) == 1


def test_images_that_failed_are_kept_and_all_if_they_are_to_be_reported() -> None:
    IMAGES['bad'] = lambda: broken('bad')
    source = f'{offer("one", "two", "three")},bad,four'
    offer('four')
    report = process(source)
    assert [each.reference for each in report.images] == ['bad']
    assert report.count == 5 and report.summary().endswith('4/5 verified, 1 FAILED')
    SHELVES.clear()
    assert len(process(source, keeps_images=True).images) == 5


def test_a_later_mistake_is_a_failed_image() -> None:
    offer('one', 'two', 'team/two', 'three')
    report = process('memory://one,two,two,team/two,three', 'memory://to-{name}')
    failure, = report.images
    assert 'would replace another image of this run there' in failure.failure and report.count == 4
    assert report.notes == ['memory://two is listed more than once, and copied once'], report.notes
    assert [len(SHELVES[f'to-{name}'].images) for name in ('one', 'two', 'three')] == [1, 1, 1]


@pytest.mark.parametrize('names', [('one', 'two', 'one/in', 'three'), ('one', 'two/in', 'two', 'three')])
def test_a_place_within_another_fails_alone(names: Sequence[str], tmp_path: Path) -> None:
    offer(*names)
    report = process(f'memory://{",".join(names)}', f'memory://{tmp_path}/{{repository}}', output='Files')
    failure, = report.images
    assert 'is inside another destination of the same run' in failure.failure and report.count == 4
    assert failure.reference == names[2]


@pytest.mark.parametrize(('names', 'message'), [
    (('far/one', 'far/two', 'a/in', 'b/a', 'far/three'), 'another source lies within memory://{}/a, a destination'),
    (('far/one', 'far/two', 'b/a', 'a/in', 'far/three'), 'memory://a/in lies within a destination of the same run'),
    (('b/a', 'far/one', 'a/in', 'far/three'), 'memory://a/in lies within a destination of the same run')])
def test_a_source_within_the_destination_of_another_image_is_not_lost(
        names: Sequence[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    offer(*names)
    report = process(f'memory://{",".join(names)}', f'memory://{tmp_path}/{{name}}', output='Files', keeps='*')
    failure, = report.images
    assert message.format(tmp_path) in failure.failure and report.count == len(names), failure.failure
    assert failure.reference == names[-2]
    assert not process(f'memory://{",".join(names)}', f'memory://{tmp_path}/{{name}}', output='Files').images


def test_an_early_mistake_refuses_the_run() -> None:
    offer('one', 'team/one', 'two')
    with pytest.raises(UsageError, match='one replacing the other'):
        process('memory://one,team/one,two', 'memory://to-{name}')
    assert not any(each.images for each in SHELVES.values())


def test_a_list_that_is_cut_is_a_failure_and_what_it_had_is_copied() -> None:
    report = process(offer('one', 'two', 'three', 'cut', 'four'))
    assert [each.failure for each in report.images] == ['the list was cut'] and report.count == 4


def test_a_source_is_read_once_for_all_its_destinations() -> None:
    report = process(offer('one', 'two', 'wait', 'three'), 'memory://a-{repository}', 'memory://b-{repository}')
    assert report.summary().startswith('Summary: 6/6 copies of 3 images') and report.succeeded
    assert set(opened.values()) == {1}


def test_images_that_become_visible_together_are_known_before_the_first_of_them_begins() -> None:
    report = process(offer('one', 'two', 'three', 'four'), 'memory://registry-{repository}', 'memory://archive',
                     output='Archive')
    assert report.succeeded and report.count == 8 and published == [4]


def test_a_service_that_refuses_is_asked_again_behind_the_others() -> None:
    refusals = [TooManyRequests('slowly'), TooManyRequests('slowly')]

    def image() -> Image:
        if refusals:
            raise refusals.pop()
        return sample_image('three')
    offer('one', 'two', 'four')
    IMAGES['three'] = image
    report = process('memory://one,two,three,four')
    assert report.succeeded and report.count == 4 and opened['three'] == 3


def test_no_more_is_looked_for_after_a_failure_with_fail_fast() -> None:
    IMAGES['one'] = lambda: broken('one')
    offer('two', *(f'more-{number}' for number in range(50)))

    class Slow(Progress):
        def expect(self, images: int, more: bool) -> None:
            if images == 3:
                assert failed.wait(10)

        def finished(self, image: ImageReport) -> None:
            if not image.succeeded:
                failed.set()
    failed = threading.Event()
    report = process(f'memory://one,two,{",".join(f"more-{number}" for number in range(50))}', fail_fast=True,
                     progress=Slow())
    assert not report.succeeded and report.count < 10
    assert report.notes == ['what else the source has was not looked for (--fail-fast)']


def test_the_number_of_images_grows_until_all_are_known() -> None:
    class Shown(PlainProgress):
        def finished(self, image: ImageReport) -> None:
            super().finished(image)
            shown.set()
    log = io.StringIO()
    process(offer('one', 'two', 'see', 'three'), progress=Shown(log))
    first, *_, last = log.getvalue().splitlines()
    assert first.startswith('[1/2+] ') and last.startswith('[3/3'), log.getvalue()


def test_names_are_in_natural_order_if_all_are_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_core.pipeline.run.WINDOW', 100)
    report = process(offer('app-10', 'app-9', 'app-2'))
    assert [each.reference for each in report.images] == ['app-2', 'app-9', 'app-10']


def test_a_source_that_is_slow_to_list_does_not_hold_up_what_it_has_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_core.pipeline.run.WINDOW', 100)
    monkeypatch.setattr('occystrap_core.tasks.task_list._PATIENCE', 0.0)
    report = process(offer('one', 'two', 'wait', 'three'))
    assert report.succeeded and report.count == 3


def test_a_single_image_is_no_long_run_however_slowly_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_core.tasks.task_list._PATIENCE', 0.0)
    assert [each.reference for each in process(offer('one')).images] == ['one']


def test_sources_of_a_list_are_closed_when_their_images_are_done(tmp_path: Path) -> None:
    offer(*(names := [f'app-{number}' for number in range(40)]))
    (listed := tmp_path / 'images.txt').write_text(''.join(f'memory://{each}\n' for each in names))

    class Watching(Progress):
        def finished(self, image: ImageReport) -> None:
            open_then.append(sum(opened.values()) - len(closed))
    open_then = list[int]()
    report = process(f'list://{listed}', progress=Watching())
    assert report.succeeded and report.count == 40 and sorted(closed) == sorted(names)
    assert max(open_then) < 20, open_then


def test_later_mistakes_in_a_list_fail_alone(tmp_path: Path) -> None:
    offer('one', 'two', 'three')
    (listed := tmp_path / 'images.txt').write_text('memory://one\nmemory://two\n%%\nmemory://three?colour=red\n'
                                                   'list://more\nmemory://three\n')
    report = process(f'list://{listed}')
    assert report.count == 6 and len(SHELVES['to-three'].images) == 1
    assert [each.failure.partition(': ')[0] for each in report.images] == [
        f'{listed}, line {line}' for line in (3, 4, 5)], [each.failure for each in report.images]


def test_mistakes_at_the_beginning_of_a_list_are_refused_together(tmp_path: Path) -> None:
    (listed := tmp_path / 'images.txt').write_text('%%\n%%%\nmemory://three\n')
    with pytest.raises(UsageError, match='2 errors: .*images.txt, line 1: .*; .*images.txt, line 2: '):
        process(f'list://{listed}')
