"""One source, several destinations: it is read once, and each destination succeeds, fails and waits for itself."""
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from occystrap_core import Image, OutgoingLayer, OutputError, Settings, UsageError, VerifyLevel, WrittenLayer
from occystrap_core.image.sequential_image import SequentialImage
from occystrap_core.oci import ImageConfig, Reference
from occystrap_core.pipeline.run import Run
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.tasks.source_use import RunAhead
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_core.verification.results import Outcome
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, MemoryOutput, Stream, memory_plugins, offer

HERE = 'tests.unit.core.pipeline.test_several_destinations'
OTHER_IS_DONE = threading.Event()
OPENED: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()
    OPENED.clear()
    OTHER_IS_DONE.clear()


class Output(MemoryOutput):
    """Fails in the middle of a layer, or waits there until the other destination is done, as its path says."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        if 'breaks' in self.location.path:
            with layer.open() as stream:
                next(iter(stream.chunks()))
                raise OutputError('the disk is full')
        if 'stalls' in self.location.path:
            with layer.open() as stream:
                next(iter(stream.chunks()))
                assert OTHER_IS_DONE.wait(20)
        return super().write_layer(layer)  # begins again, from the first byte

    def finalize(self, image: Any) -> Any:
        receipt = super().finalize(image)
        if 'good' in self.location.path:
            OTHER_IS_DONE.set()
        return receipt


class Streaming(MemoryOutput):
    """Takes blobs while they are made."""

    def stream_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        return self.write_layer(layer)


def counted(name: str, *, stored: bool = True) -> Image:
    """Return the sample, which counts how often each layer is opened at the source."""
    image = sample_image(name, stored=stored)
    for layer in image.layers:
        assert hasattr(layer, '_opener')

        def opener(whose: str = f'{name} {layer.index}', inner: Callable[[], Source] = layer._opener) -> Source:
            OPENED[whose] += 1
            return inner()
        layer._opener = opener
    return image


def process(source: str, *destinations: str, filters: tuple[str, ...] = (), images: int = 2,
            output: str = 'Output') -> RunReport:
    plugins = memory_plugins(f'{HERE}:{output}')
    return Run(plugins, Settings(images=images, sync=False), VerifyLevel.FULL, Progress()).process(
        source, destinations, filters)


@pytest.mark.parametrize('stored', [True, False])
@pytest.mark.parametrize('filters', [(), ('normalize-timestamps',)])
@pytest.mark.parametrize('others', [
    ('memory://b',), ('memory://b?form=tar',), ('memory://b?compression=zstd', 'memory://c?form=tar', 'memory://d')])
def test_each_layer_is_read_once_for_all_forms(stored: bool, filters: tuple[str, ...], others: tuple[str, ...]) -> None:
    """What arrives is what a run to that destination alone would have brought."""
    offer('one', image=lambda name: counted(name, stored=stored))
    destinations = ('memory://good', *others)
    alone = {}
    for each in destinations:
        assert process('memory://one', each, filters=filters).succeeded
        alone[each] = set(SHELVES.pop(each[9:].partition('?')[0]).blobs)
    OPENED.clear()
    report = process('memory://one', *destinations, filters=filters)
    assert [image.outcome for image in report.images] == [Outcome.VERIFIED] * len(destinations)
    assert OPENED == {'one 0': 1, 'one 1': 1, 'one 2': 1}
    assert {each: set(SHELVES[each[9:].partition('?')[0]].blobs) for each in destinations} == alone


@pytest.mark.parametrize('name', ['breaks', 'stalls', 'full'])
def test_a_destination_that_fails_or_stalls_does_not_hold_up_the_others(name: str) -> None:
    offer('one', 'two', image=counted)
    report = process('memory://one,two', f'memory://{name}', 'memory://good', 'memory://good-too?form=tar', images=1)
    failed = [image.destination for image in report.images if image.failure]
    assert failed == ([] if name == 'stalls' else [f'memory://{name}'] * 2)
    assert all(image.outcome is Outcome.VERIFIED for image in report.images if not image.failure)
    assert len(report.images) == 6 and set(OPENED.values()) == {1}


def test_a_source_that_fails_fails_for_all_and_is_opened_once() -> None:
    opened = []

    def broken(name: str) -> Image:
        opened.append(name)
        image = sample_image(name)
        image.layers[1]._opener = lambda: Source(b'not the layer')  # type: ignore[attr-defined]
        return image
    offer('bad', image=broken)
    report = process('memory://bad', 'memory://good', 'memory://b')
    assert opened == ['bad'] and not report.succeeded
    assert all('layer sha256:' in image.failure for image in report.images)
    assert [shelf.aborts for shelf in SHELVES.values()] == [1, 1]


@pytest.mark.parametrize('filters', [(), ('normalize-timestamps',)])
@pytest.mark.parametrize('form', ['tar', 'stored'])
def test_a_stream_is_read_once(form: str, filters: tuple[str, ...]) -> None:
    streams = []

    def stream(name: str) -> SequentialImage:
        streams.append(name)
        tars = sample_layers()
        return Stream(Reference.parse(name), ImageConfig.parse(sample_config(tars)), [tars[2], tars[0], tars[1]])
    IMAGES['stream'] = lambda: stream('stream')  # type: ignore[assignment]
    report = process('memory://stream', 'memory://good', f'memory://b?form={form}', filters=filters)
    assert [image.outcome for image in report.images] == [Outcome.VERIFIED] * 2, [i.failure for i in report.images]
    assert streams == ['stream']


def test_a_layer_is_read_once_for_destinations_that_take_blobs_while_they_are_made() -> None:
    offer('one', image=lambda name: counted(name, stored=False))
    assert process('memory://one', 'memory://a', 'memory://b', output='Streaming').succeeded
    assert OPENED == {'one 0': 1, 'one 1': 1, 'one 2': 1}


def test_a_layer_of_two_images_is_read_once() -> None:
    offer('one', 'two', image=counted)
    assert process('memory://one,two', 'memory://good', 'memory://b').succeeded
    assert sum(OPENED.values()) == 3


def test_a_place_that_is_given_twice_is_written_once() -> None:
    report = process(offer('one'), 'memory://good', 'memory://good')
    assert [image.destination for image in report.images] == ['memory://good']


def test_several_images_do_not_fit_into_one_of_the_destinations() -> None:
    with pytest.raises(UsageError, match='nowhere'):
        process(offer('one'), 'memory://good', 'nowhere://x')
    assert not SHELVES or not SHELVES['good'].writes


def test_a_fast_destination_waits_only_when_it_is_far_ahead() -> None:
    ahead = RunAhead(2)
    numbers = [ahead.expect(2) for _ in range(4)]
    passed: list[int] = []
    thread = threading.Thread(target=lambda: [(ahead.wait(each, lambda: None), passed.append(each))
                                              for each in numbers])
    thread.start()
    for _ in range(2):
        ahead.ended(0)
        ahead.ended(1)
    thread.join(10)
    assert passed == numbers
    with pytest.raises(OutputError):
        RunAhead(0).wait(1, lambda: (_ for _ in ()).throw(OutputError('stopped')))
