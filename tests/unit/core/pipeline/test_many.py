"""Several images in one run: where each goes, what runs in parallel, what a failure stops, what is not repeated."""
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Image, Location, Many, OutgoingLayer, Settings, UsageError, VerifyLevel, WrittenLayer
from occystrap_core.destinations.destination_fields import filled_in
from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest, Reference
from occystrap_core.pipeline.dry_run import plan_copies
from occystrap_core.pipeline.run import Run
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.tasks.earlier_run import EarlierRun
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.provenance import RecordedVerdict
from occystrap_core.verification.results import Outcome
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, MemoryInput, MemoryOutput, memory_plugins, offer
from tests.unit.core.pipeline.test_image_copy import image_of
from tests.unit.core.pipeline.test_run import broken

HERE = 'tests.unit.core.pipeline.test_many'
ONE = Many(False, reason='it holds one')


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


class OneStore(MemoryOutput):
    """All shelves are one store."""

    layer_store = 'everywhere'


def process(source: str, destination: str | None = 'memory://shelf', *, plugins: Plugins | None = None,
            settings: Settings | None = None, earlier: EarlierRun | None = None, fail_fast: bool = False,
            receipts: ReceiptFile | None = None) -> RunReport:
    run = Run(plugins or memory_plugins(), settings or Settings(images=4), VerifyLevel.FAST, Progress(), receipts,
              earlier or EarlierRun(), fail_fast)
    return run.process(source, destination)


@pytest.mark.parametrize(('path', 'filled'), [
    ('h/{repository}:{tag}', 'h/team/app:v1'), ('{host}/{name}', 'quay.io/app'), ('{{{name}}}', '{app}'),
    ('plain', 'plain'), ('{digest}', Digest.of(b'x')), ('a}}b{{c', 'a}b{c')])
def test_fields_are_filled_in(path: str, filled: str) -> None:
    reference = Reference('team/app', 'v1', Digest.of(b'x'), 'quay.io')
    assert filled_in(Location('memory', path, {}, {}), reference).path == filled


def test_a_digest_is_no_tag() -> None:
    """A tag sha256-HEX would be that of the image's referrers."""
    reference = Reference('app', '', Digest.of(b'x'))
    assert filled_in(Location('memory', '{repository}@{digest}', {}, {}), reference).path == f'app@{Digest.of(b"x")}'
    with pytest.raises(UsageError, match='has no tag to fill in; use @{digest}, or a tag'):
        filled_in(Location('memory', '{tag}', {}, {}), reference)


@pytest.mark.parametrize(('path', 'words'), [('{reposiory}', "no field .*did you mean 'repository'"),
                                             ('{}', 'no field'), ('{host}', 'app:v1 has no host')])
def test_fields_that_cannot_be_filled_in_are_refused(path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        filled_in(Location('memory', path, {}, {}), Reference('app', 'v1'))


def test_each_image_goes_to_its_own_place() -> None:
    offer('one', 'two', 'three')
    report = process('memory://one,two,three', 'memory://to-{name}', plugins=memory_plugins(many=ONE))
    assert report.succeeded and set(SHELVES) == {'to-one', 'to-two', 'to-three'}
    assert [image.destination for image in report.images] == ['memory://to-one', 'memory://to-two', 'memory://to-three']


@pytest.mark.parametrize(('destination', 'words'), [
    ('memory://shelf', 'cannot take several images: it holds one'),
    ('memory://{tag}', r'several images would be written to memory://v1: add fields to .*, such as')])
def test_a_place_for_one_is_refused_before_anything_is_read(destination: str, words: str) -> None:
    def unread(name: str) -> Image:
        raise AssertionError('it was opened')
    offer('one', 'two', image=unread)
    with pytest.raises(UsageError, match=words):
        process('memory://one:v1,two:v1', destination, plugins=memory_plugins(many=ONE))


def test_a_destination_is_required() -> None:
    with pytest.raises(UsageError, match='no destination for memory://one: add DEST'):
        process(offer('one'), None)


def test_the_requested_number_of_images_is_copied_in_parallel() -> None:
    together, most, lock = [0], [0], threading.Lock()
    barrier = threading.Barrier(3)

    def meeting(name: str) -> Image:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        barrier.wait(5)
        with lock:
            together[0] -= 1
        return sample_image(name)
    offer(*'abcdef', image=meeting)
    assert process('memory://a,b,c,d,e,f', settings=Settings(images=3)).succeeded
    assert most == [3]


def test_a_layer_that_all_have_is_read_once() -> None:
    read: list[str] = []

    def watched(name: str) -> Image:
        image = sample_image(name, variant=name)  # the last layer is its own
        for layer in image.layers:
            opener: Callable[[], object] = layer._opener  # type: ignore[attr-defined]
            digest = str(layer.diff_id)
            layer._opener = lambda opener=opener, digest=digest: read.append(digest) or opener()  # type: ignore
        return image
    names = [f'image-{number}' for number in range(12)]
    offer(*names, image=watched)
    report = process(f'memory://{",".join(names)}', settings=Settings(images=8, jobs=8),
                     plugins=memory_plugins(f'{HERE}:OneStore'))
    assert report.succeeded and len(read) == len(set(read)) == 2 + 12
    assert len(SHELVES['shelf'].writes) == 14


class Slow(OneStore):
    """Writes the first layer only after both images' own layers."""

    begun, own = threading.Lock(), threading.Event()

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        if layer.index == 0:
            assert Slow.begun.acquire(blocking=False), 'the shared layer is written a second time'
            assert Slow.own.wait(10)
        written = super().write_layer(layer)
        if len(self.shelf.writes) == 2:
            Slow.own.set()
        return written


def test_a_shared_layer_on_its_way_is_not_sent_again_and_holds_up_no_other() -> None:
    def image(name: str) -> Image:
        found = image_of(random.Random(1).randbytes(4096), name.encode() * 512)
        return Image(Reference.parse(name), found.config, found.layers, found.manifest)
    Slow.begun, Slow.own = threading.Lock(), threading.Event()
    offer('a', 'b', image=image)
    report = process('memory://a,b', settings=Settings(images=2, jobs=2), plugins=memory_plugins(f'{HERE}:Slow'))
    assert report.succeeded and len(SHELVES['shelf'].writes) == 3


class OneFile(MemoryInput):
    """Has all its images at one location."""

    def location_of(self, reference: Reference) -> Location:
        return self.location


def test_two_images_of_one_file_are_two_images() -> None:
    offer('one', 'two')
    with pytest.raises(UsageError, match='cannot take several images: it holds one'):
        process('memory://one,two', plugins=memory_plugins(source=f'{HERE}:OneFile', many=ONE))


def test_fail_fast_begins_no_further_image() -> None:
    offer('bad', image=broken)
    offer('one', 'two')
    report = process('memory://bad,one,two', settings=Settings(images=1), fail_fast=True)
    assert [bool(image.failure) for image in report.images] == [True, True, True]
    assert 'skipped' in report.images[2].failure and not SHELVES['shelf'].images
    assert process('memory://bad,one,two', settings=Settings(images=1)).images[2].succeeded


def test_images_verified_by_an_earlier_run_are_not_copied_again(tmp_path: Path) -> None:
    offer('one', 'two', 'three')
    receipts = ReceiptFile(str(tmp_path / 'receipts'))
    assert process('memory://one,two', 'memory://to-{name}', receipts=receipts).succeeded
    receipts.close()
    SHELVES['to-two'].blobs.clear()
    earlier = EarlierRun(read_receipts(str(tmp_path / 'receipts')))
    again = ReceiptFile(str(tmp_path / 'receipts'))
    report = process('memory://one,two,three', 'memory://to-{name}', earlier=earlier, receipts=again)
    again.close()
    assert report.succeeded and [image.done_before for image in report.images] == [True, False, False]
    assert [len(SHELVES[f'to-{name}'].images) for name in ('one', 'two', 'three')] == [1, 2, 1]
    assert report.summary().endswith('1 unchanged, 3/3 verified')
    assert len(read_receipts(str(tmp_path / 'receipts'))) == 3


@pytest.mark.parametrize('changed', ['source', 'path', 'options'])
def test_another_copy_is_not_taken_for_done(changed: str) -> None:
    first = process(offer('one'), 'memory://shelf?form=tar').images[0].receipt
    assert first
    earlier = EarlierRun([first.with_verdict(RecordedVerdict('verified', 'fast', ''))])
    assert not EarlierRun([first]).find('memory://one', Location('memory', 'shelf', {}, {'form': 'tar'}))
    settled = Location('memory', 'shelf', {}, {'form': 'tar'})
    found = earlier.find('memory://one', settled)
    assert found and replace(found, verdict=None) == first
    other = {'source': earlier.find('memory://one --platform=linux/arm64', settled),
             'path': earlier.find('memory://one', settled.with_path('other')),
             'options': earlier.find('memory://one', Location('memory', 'shelf', {}, {}))}
    assert other[changed] is None


def test_a_line_that_was_cut_off_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / 'receipts'
    receipt = process(offer('one')).images[0].receipt
    assert receipt
    path.write_text(f'{receipt.to_json()}\n{receipt.to_json()[:50]}')
    with pytest.raises(InvalidReceipt, match='not a receipt'):
        read_receipts(str(path))
    assert read_receipts(str(path), cut=True) == [receipt]
    more = ReceiptFile(str(path))
    other = replace(receipt, path='other', place='other')
    more.add(other)
    more.close()
    assert read_receipts(str(path)) == [receipt, other]


def test_a_dry_run_reports_what_is_there_and_writes_nothing() -> None:
    offer('one', 'two')
    process('memory://one')
    writes = list(SHELVES['shelf'].writes)
    found = list(plan_copies(memory_plugins(), Settings(), 'memory://one,two,gone', 'memory://shelf', []))
    assert [(each.layers, each.layers_there) for each in found[:2]] == [(3, 3), (3, 3)]
    assert found[0].line().startswith('would copy memory://one to memory://shelf: 3 layers, ')
    totals = found[0].to_json()
    assert (totals['source'], totals['destination'], totals['layers'], totals['layers_there'], totals['failure']) == (
        'memory://one', 'memory://shelf', 3, 3, '') and totals['size'] == totals['size_there'] > 0
    assert SHELVES['shelf'].writes == writes


def test_verification_says_of_each_image_what_is_there() -> None:
    offer('one', 'two')
    assert [image.outcome for image in process('memory://one,two').images] == [Outcome.VERIFIED] * 2
