"""Copying one image: what is kept, what is created, and what is left after an error."""
import errno
import gzip
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import (
    Cancelled, Evidence, Image, InvalidImage, Location, OutgoingLayer, OutputError, Receipt, Settings, WrittenImage,
    WrittenLayer,
)
from occystrap_core.errors import PluginError
from occystrap_core.files import DigestMismatch
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Manifest, Reference, dump_json, media_types
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import StoredLayer, TarLayer
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import SHELVES, MemoryOutput, Shelf, Stream, Without, wait_until

REFERENCE = Reference.parse('sample:v1')


@pytest.fixture(autouse=True)
def shelf() -> Shelf:
    """An empty destination."""
    SHELVES.clear()
    return SHELVES.setdefault('shelf', Shelf())


def output(kind: type[MemoryOutput] = MemoryOutput, settings: Settings = Settings(), **options: str) -> MemoryOutput:
    return kind(Location('memory', 'shelf', options, options), settings)


def copy(image: Image, to: MemoryOutput | None = None, settings: Settings = Settings(), **options: str) -> Receipt:
    return ImageCopy(image, to or output(MemoryOutput, settings, **options), settings, 'memory://source').run()


def image_of(*tars: bytes) -> Image:
    """Return an image of gzipped layers with a manifest."""
    layers = []
    for index, tar in enumerate(tars):
        blob = gzip.compress(tar, mtime=0)
        descriptor = Descriptor(f'{media_types.OCI_LAYER}+gzip', Digest.of(blob), len(blob))
        layers.append(StoredLayer(index, descriptor, Digest.of(tar), lambda blob=blob: Source(blob)))  # type: ignore
    config = ImageConfig.parse(sample_config(tars))
    pointer = Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw))
    manifest = Manifest.build(pointer, [layer.descriptor for layer in layers if layer.descriptor])
    return Image(REFERENCE, config, layers, manifest)


def without(name: str, image: Image) -> Image:
    return Without({'name': name}, Settings()).apply(image)


def test_an_unchanged_image_keeps_every_byte(shelf: Shelf) -> None:
    image = sample_image()
    spaced = b'  ' + image.manifest.raw if image.manifest else b''
    image.manifest = Manifest.parse(spaced)
    receipt = copy(image)
    written = shelf.images[0]
    assert written.manifest and written.manifest.raw == spaced and written.config.raw == image.config.raw
    assert receipt.manifest_digest == Digest.of(spaced) and receipt.image_id == image.config.digest
    for layer in image.layers:
        assert layer.descriptor and Digest.of(shelf.blobs[layer.descriptor.digest]) == layer.descriptor.digest


@pytest.mark.parametrize('jobs', [1, 2, 8])
def test_order_is_the_image_s_however_the_layers_finish(jobs: int, shelf: Shelf) -> None:
    class Slow(MemoryOutput):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            time.sleep(0.02 if layer.index % 2 else 0)
            return super().write_layer(layer)
    image = image_of(*(os.urandom(1000 + 50 * number) for number in range(9)))
    receipt = copy(image, output(Slow), Settings(jobs=jobs))
    assert [layer.index for layer in shelf.images[0].layers] == list(range(9))
    assert [layer.diff_id for layer in shelf.images[0].layers] == list(image.diff_ids) == list(receipt.diff_ids)
    assert [each.digest for each in receipt.of_kind('layer')] == [
        layer.descriptor.digest for layer in image.layers if layer.descriptor]


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_a_layer_listed_twice_is_written_once(form: str, shelf: Shelf) -> None:
    image = image_of(b'one', b'two', b'one', b'one')
    receipt = copy(image, form=form)
    assert len(shelf.writes) == 2 and tuple(receipt.diff_ids) == image.diff_ids
    assert len(shelf.images[0].layers) == 4 and len(receipt.of_kind('layer')) == 2


def test_a_layer_that_is_written_twice_in_order_is_where_it_was_written_each_time(shelf: Shelf) -> None:
    class Numbered(MemoryOutput):
        in_order = True

        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            super().write_layer(layer)
            return WrittenLayer(f'{len(shelf.writes)}.tar')
    receipt = copy(image_of(b'one', b'two', b'one'), output(Numbered, form='tar'))
    assert [layer.locator for layer in shelf.images[0].layers] == ['1.tar', '2.tar', '3.tar']
    assert [layer.index for layer in shelf.images[0].layers] == [0, 1, 2]
    assert [each.locator for each in receipt.of_kind('layer')] == ['1.tar', '2.tar', '3.tar']


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_device_is_named_by_the_destination_though_the_error_names_no_file(number: int) -> None:
    class Full(MemoryOutput):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            raise OSError(number, os.strerror(number))
    with pytest.raises(OutputError, match=f'cannot write to memory://shelf: {os.strerror(number)}: '):
        copy(sample_image(), output(Full))


def test_an_error_that_may_be_of_the_source_does_not_name_the_destination() -> None:
    class Unreadable(MemoryOutput):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            raise OSError(errno.EIO, 'Input/output error')
    with pytest.raises(OSError, match='^.Errno 5. Input/output error$'):
        copy(sample_image(), output(Unreadable))


def test_one_tar_in_two_blobs_keeps_both(shelf: Shelf) -> None:
    first, second = gzip.compress(b'tar', 0, mtime=0), gzip.compress(b'tar', 9, mtime=1)
    layers = [StoredLayer(index, Descriptor(f'{media_types.OCI_LAYER}+gzip', Digest.of(blob), len(blob)),
                          Digest.of(b'tar'), lambda blob=blob: Source(blob))  # type: ignore
              for index, blob in enumerate([first, second])]
    config = ImageConfig.parse(sample_config([b'tar', b'tar']))
    manifest = Manifest.build(Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw)),
                              [layer.descriptor for layer in layers if layer.descriptor])
    copy(Image(REFERENCE, config, layers, manifest))
    assert shelf.images[0].manifest == manifest and set(shelf.writes) == {Digest.of(first), Digest.of(second)}


def test_existing_layers_are_not_read_again(shelf: Shelf) -> None:
    copy(sample_image())
    image = sample_image()
    for layer in image.layers:
        assert isinstance(layer, StoredLayer)
        layer._opener = lambda: pytest.fail('a layer was read')
    receipt = copy(image)
    assert len(shelf.writes) == 3
    assert {each.evidence for each in receipt.of_kind('layer')} == {Evidence.DESCRIPTOR}
    assert receipt.evidence is Evidence.DESCRIPTOR


def test_no_layers_at_all(shelf: Shelf) -> None:
    receipt = copy(image_of())
    assert receipt.diff_ids == () and shelf.images[0].layers == [] and receipt.manifest_digest


def test_an_image_without_manifest(shelf: Shelf) -> None:
    assert copy(sample_image(stored=False), form='tar').manifest_digest is None
    assert shelf.images[0].config.raw == sample_config()
    copy(sample_image(stored=False))
    made = shelf.images[1].manifest
    assert made and made.config.digest == Digest.of(sample_config()) and made.media_type == media_types.OCI_MANIFEST
    assert [Digest.of(gzip.decompress(shelf.blobs[each.digest])) for each in made.layers] == [
        Digest.of(tar) for tar in sample_layers()]


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_made_blobs_are_the_same_each_time(compression: str, shelf: Shelf) -> None:
    one = copy(sample_image(stored=False), compression=compression, settings=Settings(jobs=1))
    two = copy(sample_image(stored=False), compression=compression, settings=Settings(jobs=4))
    assert one.manifest_digest == two.manifest_digest and one.evidence is Evidence.STREAMED
    assert shelf.images[0].layers[0].descriptor
    assert shelf.images[0].layers[0].descriptor.media_type.endswith(compression.partition('-')[0])
    assert len(shelf.writes) == 3


def test_a_changed_layer_gets_a_new_blob_and_the_others_keep_theirs(shelf: Shelf) -> None:
    image = sample_image()
    assert image.manifest
    copy(without('etc/', image))
    written = shelf.images[0]
    assert written.manifest and written.manifest.raw != image.manifest.raw
    assert [mine == source for mine, source in zip(written.manifest.layers, image.manifest.layers, strict=True)] == [
        False, False, True]
    assert written.config.diff_ids[2] == image.config.diff_ids[2]
    assert {**written.config.document, 'rootfs': 0} == {**image.config.document, 'rootfs': 0}
    for diff_id, each in zip(written.config.diff_ids, written.manifest.layers, strict=True):
        assert Digest.of(gzip.decompress(shelf.blobs[each.digest])) == diff_id
    assert written.manifest.config.digest == written.config.digest == Digest.of(written.config.raw)


def test_a_filter_that_changes_nothing_leaves_the_image_as_it_is(shelf: Shelf) -> None:
    image = sample_image()
    copy(without('nothing/like/this', image))
    assert shelf.images[0].manifest is image.manifest


def test_a_docker_manifest_stays_docker_s_when_a_layer_changes(shelf: Shelf) -> None:
    image = image_of(*sample_layers())
    config = Descriptor(media_types.DOCKER_CONFIG, image.config.digest, len(image.config.raw))
    layers = [Descriptor(f'{media_types.DOCKER_LAYER}.gzip', layer.descriptor.digest, layer.descriptor.size)
              for layer in image.layers if layer.descriptor]
    image.manifest = Manifest.build(config, layers, media_types.DOCKER_MANIFEST)
    copy(without('etc/', image))
    made = shelf.images[0].manifest
    assert made and made.media_type == media_types.DOCKER_MANIFEST and made.config.media_type == config.media_type
    assert {each.media_type for each in made.layers} == {f'{media_types.DOCKER_LAYER}.gzip'}


def test_layers_that_become_the_same_are_the_same(shelf: Shelf) -> None:
    receipt = copy(without('etc', image_of(*sample_layers()[:2])), settings=Settings(jobs=1), form='tar')
    assert len(receipt.diff_ids) == 2


# Sequential images

def stream(arriving: list[bytes], config: bytes | None = None) -> Stream:
    return Stream(REFERENCE, ImageConfig.parse(config or sample_config()), arriving)


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_arriving_layers_find_their_places(form: str, shelf: Shelf) -> None:
    receipt = copy(stream(sample_layers()[::-1]), form=form)
    assert tuple(receipt.diff_ids) == tuple(Digest.of(tar) for tar in sample_layers())
    assert [layer.index for layer in shelf.images[0].layers] == [0, 1, 2]
    assert shelf.images[0].config.raw == sample_config()


def test_a_double_that_arrives_once_or_twice(shelf: Shelf) -> None:
    tars = [b'one', b'two', b'one']
    for arriving in ([b'two', b'one'], [b'one', b'two', b'one']):
        receipt = copy(stream(arriving, sample_config(tars)), form='tar')
        assert list(receipt.diff_ids) == [Digest.of(tar) for tar in tars]


def test_arriving_layers_through_a_filter(shelf: Shelf) -> None:
    parallel = copy(without('etc/', sample_image(stored=False)), form='tar')
    arrived = copy(without('etc/', stream(sample_layers()[::-1])), form='tar')
    assert arrived.diff_ids == parallel.diff_ids and arrived.image_id == parallel.image_id


@pytest.mark.parametrize(('arriving', 'words'), [
    (sample_layers()[:2], f'did not provide layer {Digest.of(sample_layers()[2])}'),
    ([*sample_layers(), b'alien'], f'provided layer {Digest.of(b"alien")}, which its config does not list')])
def test_missing_and_alien_arrivals(arriving: list[bytes], words: str, shelf: Shelf) -> None:
    with pytest.raises(InvalidImage, match=words):
        copy(stream(arriving), form='tar')
    assert shelf.aborts == 1 and shelf.images == []


# What goes wrong

def broken(image: Image, number: int, opener: Callable[[], Any]) -> Image:
    layer = image.layers[number]
    assert isinstance(layer, StoredLayer | TarLayer)
    layer._opener = opener
    return image


@pytest.mark.parametrize('form', ['stored', 'tar'])
@pytest.mark.parametrize(('opener', 'error'), [
    (lambda: Source(b'other bytes'), InvalidImage), (lambda: Source(b''), InvalidImage),
    (lambda: Source(b'', fails_after=0), OSError)])
def test_a_bad_layer_aborts_once_and_is_the_error_that_is_raised(form: str, opener: Callable[[], Source],
                                                                 error: type[Exception],
                                                                 shelf: Shelf) -> None:
    with pytest.raises(error):
        copy(broken(sample_image(), 1, opener), form=form)
    assert shelf.aborts == 1 and shelf.images == []


def test_a_failing_layer_stops_the_others_soon(shelf: Shelf) -> None:
    started, stopped = threading.Event(), threading.Event()

    class Endless(Source):
        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            started.set()
            time.sleep(0.001)
            return 1

        def close(self) -> None:
            stopped.set()

    class Late(Source):
        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            started.wait(5)
            return super().readinto(buffer)
    tars = [TarLayer(0, Digest.of(b'x'), lambda: Endless(b''), name='endless'),
            TarLayer(1, Digest.of(b'y'), lambda: Late(b'wrong'), name='wrong')]
    config = ImageConfig.parse(sample_config([b'x', b'y']))
    before = time.monotonic()
    with pytest.raises(DigestMismatch, match='layer wrong'):
        copy(Image(REFERENCE, config, tars), form='tar', settings=Settings(jobs=2))
    assert time.monotonic() - before < 1 and stopped.is_set() and shelf.aborts == 1


def test_layers_that_were_not_begun_are_not_begun_after_a_failure(shelf: Shelf) -> None:
    image = image_of(*(bytes([number]) * 100 for number in range(50)))
    for number in range(50):
        broken(image, number, lambda: Source(b'wrong'))
    settings, before = Settings(jobs=3), set(threading.enumerate())
    with pytest.raises(InvalidImage):
        copy(image, settings=settings)
    assert shelf.aborts == 1 and shelf.writes == []
    settings.shared.close()
    wait_until(lambda: not set(threading.enumerate()) - before)


@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_cancelling_stops_the_copy(form: str, shelf: Shelf) -> None:
    settings = Settings()

    class Cancelling(Source):
        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            settings.cancellation.cancel()
            return super().readinto(buffer)
    blob = gzip.compress(b'tar', mtime=0)
    with pytest.raises(Cancelled):
        copy(broken(image_of(b'tar'), 0, lambda: Cancelling(blob)), form=form, settings=settings)
    assert shelf.aborts == 1


class Careless(MemoryOutput):
    """Reads only the beginning, and leaves the stream open."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        layer.open().readinto(memoryview(bytearray(10)))
        return WrittenLayer('somewhere')


class Denying(MemoryOutput):
    """Takes no notice of wrong bytes."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        try:
            return super().write_layer(layer)
        except DigestMismatch:
            return WrittenLayer('somewhere')


class Mistaken(MemoryOutput):
    """Finds something else where a layer should be."""

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        return WrittenLayer('there', Digest.of(b'something else'), 14)


class Vague(MemoryOutput):
    """Reports a layer as present without checking it."""

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        return WrittenLayer('there')


class Silent(MemoryOutput):
    """Returns nothing."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        super().write_layer(layer)
        return None  # type: ignore[return-value]


class Unwritten(MemoryOutput):
    """Makes no receipt."""

    def finalize(self, image: WrittenImage) -> Receipt:
        return None  # type: ignore[return-value]


class Refused(MemoryOutput):
    """Passes on what the system says."""

    def finalize(self, image: WrittenImage) -> Receipt:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_system_errors_of_a_writer_name_the_destination(shelf: Shelf) -> None:
    with pytest.raises(OutputError, match='cannot write to memory://shelf: Input/output error: correct the cause'):
        copy(sample_image(), output(Refused))
    assert shelf.aborts == 1 and shelf.images == []


@pytest.mark.parametrize(('kind', 'words'), [
    (Careless, 'did not read layer sha256:.* to its end'), (Mistaken, 'is there with another digest'),
    (Vague, 'did not read layer'), (Silent, 'returned None for layer sha256:.*expected a WrittenLayer'),
    (Unwritten, 'Unwritten returned None instead of a Receipt')])
@pytest.mark.parametrize('form', ['stored', 'tar'])
def test_writers_that_break_their_contract_are_named(kind: type[MemoryOutput], words: str, form: str, shelf: Shelf,
                                                     ) -> None:
    with pytest.raises(PluginError, match=words):
        copy(sample_image(), output(kind, form=form))
    assert shelf.aborts == 1 and shelf.images == []


def test_a_writer_cannot_hide_that_the_bytes_were_wrong(shelf: Shelf) -> None:
    with pytest.raises(PluginError, match='did not read layer'):
        copy(broken(image_of(b'a'), 0, lambda: Source(gzip.compress(b'b', mtime=0))), output(Denying))
    assert shelf.images == []


def test_layers_left_open_by_the_writer_are_closed(shelf: Shelf) -> None:
    sources: list[Source] = []

    def opener() -> Source:
        sources.append(Source(gzip.compress(b'tar', mtime=0)))
        return sources[-1]
    with pytest.raises(PluginError):
        copy(broken(image_of(b'tar'), 0, opener), output(Careless))
    assert [each.closed_times > 0 for each in sources] == [True]


def test_a_writer_may_send_again(shelf: Shelf) -> None:
    class Stubborn(MemoryOutput):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            with layer.open() as stream:
                stream.readinto(memoryview(bytearray(5)))
            return super().write_layer(layer)
    assert copy(sample_image(), output(Stubborn)).evidence is Evidence.STREAMED


@pytest.mark.parametrize('moment', ['prepare', 'has_layer', 'write_layer', 'finalize'])
@pytest.mark.parametrize('error', [OutputError('the shelf broke'), KeyError('x'), KeyboardInterrupt()])
def test_whenever_the_writer_fails_it_is_asked_to_clean_up_once(moment: str, error: BaseException, shelf: Shelf,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error
    to = output()
    monkeypatch.setattr(to, moment, fail)
    with pytest.raises(type(error)):
        copy(sample_image(), to)
    assert shelf.aborts == 1


def test_a_failing_clean_up_does_not_hide_the_reason(shelf: Shelf) -> None:
    class Stuck(MemoryOutput):
        def abort(self) -> None:
            raise OutputError('a file will not go')
    with pytest.raises(DigestMismatch) as caught:
        copy(broken(sample_image(), 0, lambda: Source(b'x')), output(Stuck))
    assert 'layer sha256' in str(caught.value)
    assert str(caught.value).endswith('; temporary files could not be removed: a file will not go')


def test_a_signal_in_mid_clean_up_does_not_stop_it(shelf: Shelf) -> None:
    class Interrupted(MemoryOutput):
        def abort(self) -> None:
            super().abort()
            if self.shelf.aborts == 1:
                raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        copy(broken(sample_image(), 0, lambda: Source(b'x')), output(Interrupted))
    assert shelf.aborts == 2


# Spooling

def descriptors() -> set[str]:
    """Return what the process has open, but for the directory that lists it."""
    found: set[str] = set()
    for each in os.listdir('/proc/self/fd'):
        with suppress(FileNotFoundError):  # closed meanwhile by another thread
            found.add(os.readlink(f'/proc/self/fd/{each}'))
    return found


def test_spools_lie_in_the_given_directory_and_leave_nothing(tmp_path: Path, shelf: Shelf) -> None:
    seen: set[str] = set()

    class Watching(MemoryOutput):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            seen.update(each for each in descriptors() if each.startswith(str(tmp_path)))
            return super().write_layer(layer)
    copy(sample_image(stored=False), output(Watching), Settings(temporary=str(tmp_path)))
    assert seen and all(each.endswith('(deleted)') for each in seen)
    assert list(tmp_path.iterdir()) == [] and not [each for each in descriptors() if each.startswith(str(tmp_path))]


def test_a_failing_layer_closes_its_spool(tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(DigestMismatch):
        copy(broken(sample_image(stored=False), 0, lambda: Source(b'x' * (3 << 20))),
             settings=Settings(temporary=str(tmp_path)))
    assert not [each for each in descriptors() if each.startswith(str(tmp_path))]


@pytest.mark.parametrize('directory', ['/nowhere/at/all', '/dev/null'])
def test_a_directory_that_takes_no_spool_is_named_with_advice(directory: str, shelf: Shelf) -> None:
    with pytest.raises(OutputError, match=f'cannot spool a layer in {directory}: .*--temp-dir'):
        copy(sample_image(stored=False), settings=Settings(temporary=directory))


@pytest.mark.parametrize('size', [1000, 5 << 20])
def test_a_source_that_cannot_be_read_is_not_blamed_on_the_spool(size: int, shelf: Shelf) -> None:
    image = broken(sample_image(stored=False), 0, lambda: Source(os.urandom(size), step=1 << 20, fails_after=size // 2))
    with pytest.raises(OSError, match='the cable was pulled'):
        copy(image)


def test_documents_with_half_a_surrogate_pair_can_be_rewritten(shelf: Shelf) -> None:
    image = sample_image(stored=False)
    odd = dump_json({**image.config.document, 'author': 'x'}).replace(b'"author":"x"', rb'"author":"\ud800"')
    copy(without('etc/', Image(REFERENCE, ImageConfig.parse(odd), image.layers)), form='tar')
    assert shelf.images[0].config.document['author'] == '\ud800'


def test_progress_hears_of_all_bytes(shelf: Shelf) -> None:
    heard: list[int] = []
    image = sample_image()
    ImageCopy(image, output(), Settings(), 'x', heard.append).run()
    assert sum(heard) == sum(layer.stored_size for layer in image.layers)


def test_nothing_is_read_before_the_writer_agrees(shelf: Shelf) -> None:
    image = broken(sample_image(), 0, lambda: pytest.fail('read too early'))
    with pytest.raises(OutputError, match='the shelf is full'):
        ImageCopy(image, MemoryOutput(Location('memory', 'full', {}, {}), Settings()), Settings(), 'x').run()
