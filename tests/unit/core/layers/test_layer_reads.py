"""Inspections read every image of a source or list, each layer once, the largest first, until something stops them."""
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Cancelled, Image, InvalidImage, Layer, Settings, UsageError
from occystrap_core.errors import ImageError
from occystrap_core.image.image import Content
from occystrap_core.image.layer import ReadObservers
from occystrap_core.pipeline.inspection import ReadImage, images_of, read_images, read_layers
from occystrap_core.report.progress import Advance
from occystrap_core.testing.sample import sample_image, sample_layers
from tests.services.installed import installed_plugins
from tests.unit.core.pipeline.indexes import artifact, index_of
from tests.unit.core.pipeline.memory import IMAGES, memory_plugins, offer
from tests.unit.core.pipeline.test_image_copy import image_of, stream
from tests.unit.core.report.test_reports import Recorded


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    IMAGES.clear()


def sizes_of(content: Content, settings: Settings, advance: Advance) -> list[int]:
    """Return the sizes of an image's tars; an inspection."""
    found: list[int] = []

    def look(layer: Layer, observers: ReadObservers) -> None:
        with layer.tar(observers) as tar:
            tar.drain()
        found.append(tar.size)
    for image in images_of(content):
        read_layers(image, settings, look, advance)
    return found


def inspect(source: str, settings: Settings | None = None, unfit: Callable[[ImageError], list[int]] | None = None,
            ) -> tuple[list[ReadImage[list[int]]], Recorded]:
    progress = Recorded()
    return read_images(memory_plugins(), settings or Settings(jobs=1), source, sizes_of, progress, unfit), progress


TARS = sorted(len(tar) for tar in sample_layers())


def failing(name: str) -> Image:
    raise InvalidImage(f'{name} is broken')


def test_each_image_is_read_and_reported() -> None:
    found, progress = inspect(offer('one', 'two'))
    size = sum(layer.stored_size for layer in sample_image().layers)
    assert [(each.name, str(each.reference), sorted(each.result or [])) for each in found] == [
        ('one', 'one', TARS), ('two', 'two', TARS)]
    assert all((each.report.layers, each.report.size, each.report.failure) == (3, size, '') for each in found)
    assert all(each.report.seconds > 0 and each.report.line().endswith(' read') for each in found)
    assert progress.begun == [['one', 'two']] and progress.ends == 1 and len(progress.done) == 2
    assert progress.totals['one'] == size == sum(progress.moved['one'])


def test_the_only_image_s_error_is_raised_and_others_are_recorded() -> None:
    source = offer('bad', image=failing)
    with pytest.raises(InvalidImage, match='bad is broken'):
        inspect(source)
    offer('one')
    found, progress = inspect(f'{source},one')
    assert [each.report.failure for each in found] == ['bad is broken', ''] and found[0].result is None
    assert found[1].result and [line.partition(' ')[0] for line in progress.done] == ['bad', 'one']
    offer('odd', image=lambda name: {}[name])  # type: ignore[index]
    found, _ = inspect(f'{source},odd')
    assert 'KeyError' in found[1].report.failure


def test_a_layer_that_cannot_be_opened_may_have_its_own_result() -> None:
    found, _ = inspect(offer('bad', image=failing), unfit=lambda error: [len(str(error))])
    assert (found[0].result, found[0].report.failure) == ([len('bad is broken')], '')
    offer('odd', image=lambda name: {}[name])  # type: ignore[index]
    with pytest.raises(KeyError):
        inspect('memory://odd', unfit=lambda error: [])


def test_a_cancelled_inspection_ends() -> None:
    settings = Settings(jobs=1)
    offer('one', 'two', image=lambda name: settings.cancellation.cancel() or sample_image(name))
    with pytest.raises(Cancelled):
        inspect('memory://one,two', settings)


def test_a_list_cannot_name_a_list(tmp_path: Path) -> None:
    (tmp_path / 'outer').write_text(f'list://{tmp_path}/inner\n')
    (tmp_path / 'inner').write_text('memory://one\n')
    with pytest.raises(UsageError, match='outer, line 1: a list cannot name another list'):
        read_images(installed_plugins(), Settings(), f'list://{tmp_path}/outer', sizes_of, Recorded())


def test_images_of_an_index_without_artifacts() -> None:
    one, two = image_of(b'a' * 512), image_of(b'b' * 512)
    inner = index_of([two, artifact()])
    assert list(images_of(index_of([one, inner, artifact()]))) == [one, two]
    assert list(images_of(one)) == [one] and list(images_of(artifact())) == []


def test_the_largest_layer_is_read_first() -> None:
    image = image_of(*(bytes(range(256)) * size for size in (1, 40, 5)))
    assert sizes_of(image, Settings(jobs=1), lambda count: None) == [256 * 40, 256 * 5, 256]


def test_layers_that_arrive_are_read_as_they_come() -> None:
    tars = sample_layers()
    assert sizes_of(stream([tars[2], tars[0], tars[1]]), Settings(), lambda count: None) == [
        len(tars[2]), len(tars[0]), len(tars[1])]


def test_bytes_are_counted_and_a_signal_stops_the_reading() -> None:
    settings = Settings(jobs=1)
    moved: list[int] = []

    def advance(count: int) -> None:
        moved.append(count)
        settings.cancellation.cancel()
    image = image_of(*(bytes([number]) * 5_000_000 for number in range(3)))
    with pytest.raises(Cancelled):
        sizes_of(image, settings, advance)
    assert moved and sum(moved) < sum(layer.stored_size for layer in image.layers)


def test_after_an_error_no_layer_is_begun_and_those_at_work_stop() -> None:
    begun: list[int] = []
    at_work, failed = threading.Event(), threading.Event()
    ends: list[BaseException] = []

    def look(layer: Layer, observers: ReadObservers) -> None:
        begun.append(layer.index)
        if layer.index == 0:
            at_work.set()
            failed.wait(10)
            threading.Event().wait(0.3)
            try:
                observers.moved(1)
            except BaseException as error:
                ends.append(error)
                raise
        else:
            at_work.wait(10)
            failed.set()
            raise InvalidImage('broken')
    image = image_of(*(bytes([number + 1]) * 1000 * (9 - number) for number in range(4)))
    moved: list[int] = []
    with pytest.raises(InvalidImage, match='broken'):
        read_layers(image, Settings(jobs=2), look, moved.append)
    assert len(ends) == 1 and isinstance(ends[0], Cancelled) and moved == [] and len(begun) <= 3
