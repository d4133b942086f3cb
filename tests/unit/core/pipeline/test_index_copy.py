"""Copying indexes, artifacts and referrers: byte for byte, all or nothing, or a clear refusal."""
import json
import threading
import time
from base64 import b64encode

import pytest

from occystrap_core import (
    Cancelled, EntryFilter, Image, ImageIndex, ImageOutput, Location, OutgoingLayer, OutputError, Receipt, Settings,
    UsageError, WrittenLayer,
)
from occystrap_core.errors import PluginError
from occystrap_core.files import DigestMismatch
from occystrap_core.image.image import Referrer
from occystrap_core.oci import Descriptor, Digest, Index
from occystrap_core.pipeline.content_fit import filtered
from occystrap_core.pipeline.index_copy import copy_of, size_to_move
from occystrap_core.settings import VerifyLevel
from occystrap_core.tar import TarEntry
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.judge import judge
from occystrap_core.verification.results import Outcome
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.indexes import IndexShelf, artifact, descriptor_of, index_of
from tests.unit.core.pipeline.memory import SHELVES, MemoryOutput, Shelf, Without, verify_output

PLATFORMS = ['linux/amd64', 'linux/arm64/v8']


@pytest.fixture(autouse=True)
def shelf() -> Shelf:
    """An empty destination."""
    SHELVES.clear()
    return SHELVES.setdefault('shelf', Shelf())


def output(kind: type[MemoryOutput] = IndexShelf, **options: str) -> MemoryOutput:
    return kind(Location('memory', 'shelf', options, options), Settings())


def copy(opened: Image | ImageIndex, to: MemoryOutput | None = None, jobs: int = 3) -> Receipt:
    return copy_of(opened, to or output(), Settings(jobs=jobs), 'memory://source', recipe='').run()


def two() -> list[Image]:
    return [sample_image(), sample_image(variant='arm')]


@pytest.mark.parametrize('jobs', [1, 4])
def test_an_index_arrives_byte_for_byte_with_all_that_it_lists(jobs: int, shelf: Shelf) -> None:
    index = index_of([*two(), artifact()], [*PLATFORMS, 'unknown/unknown'])
    to = output()
    receipt = copy(index, to, jobs)
    assert isinstance(to, IndexShelf)
    assert shelf.blobs['tag'] == index.index.raw and to.steps[-1] == 'tag'
    assert receipt.manifest_digest == receipt.image_id == index.index.digest and receipt.diff_ids == ()
    for child in index.children:
        pointer = descriptor_of(child.content)
        assert Digest.of(shelf.blobs[pointer.digest]) == pointer.digest
    kinds = [each.kind for each in receipt.expectations]
    assert [kinds.count(kind) for kind in ('index', 'manifest', 'config')] == [1, 3, 3]
    results = verify_output(receipt, VerifyLevel.FULL, Settings())
    assert results and judge(receipt, VerifyLevel.FULL, results).outcome is Outcome.VERIFIED


def test_shared_blobs_are_brought_once(shelf: Shelf) -> None:
    copy(index_of(two(), PLATFORMS), jobs=8)
    assert len(shelf.writes) == len(set(shelf.writes)) == 4, 'the samples share two of three layers'


def test_the_receipt_is_the_same_each_time() -> None:
    def once(jobs: int) -> list[tuple[str, str]]:
        SHELVES.clear()
        return [(each.kind, each.locator) for each in copy(index_of(two(), PLATFORMS), jobs=jobs).expectations]
    assert once(1) == once(8)


def test_nested_indexes_and_one_listed_twice(shelf: Shelf) -> None:
    inner = index_of(two(), PLATFORMS)
    index = index_of([inner, two()[0], inner])
    to = output()
    receipt = copy(index, to)
    assert isinstance(to, IndexShelf)
    assert shelf.blobs['tag'] == index.index.raw and shelf.blobs[inner.index.digest] == inner.index.raw
    assert to.steps.count(inner.index.digest) == 1
    assert to.steps.index(inner.index.digest) > max(to.steps.index(descriptor_of(each.content).digest)
                                                    for each in inner.children)
    assert [each.locator for each in receipt.of_kind('index')] == ['tag', inner.index.digest]


def test_the_whole_knows_what_to_expect_of_its_parts() -> None:
    index = index_of([index_of(two(), PLATFORMS), artifact(), two()[0]])
    to = output()
    receipt = copy(index, to)
    assert {each.digest for each in to.parts} == {each.digest for each in receipt.expectations} - {index.index.digest}


def test_a_writer_of_indexes_that_cannot_write_their_parts(shelf: Shelf) -> None:
    class Neither(IndexShelf):
        put_documents = ImageOutput.put_documents
    with pytest.raises(PluginError, match=r'Neither declares holds_indexes, but has no put_documents\(\)'):
        copy(index_of(two(), PLATFORMS), output(Neither))
    assert not shelf.writes


def test_a_choice_is_a_new_index_with_the_entries_as_they_were(shelf: Shelf) -> None:
    whole = index_of([*two(), artifact()], [*PLATFORMS, 'unknown/unknown'])
    receipt = copy(ImageIndex(whole.reference, whole.index, whole.children[1:2]))
    document, old = json.loads(shelf.blobs['tag']), json.loads(whole.index.raw)
    assert document == {**old, 'manifests': old['manifests'][1:2]}
    assert receipt.manifest_digest == Digest.of(shelf.blobs['tag']) != whole.index.digest
    assert descriptor_of(whole.children[0].content).digest not in shelf.blobs


def test_referrers_are_there_before_the_tag(shelf: Shelf) -> None:
    image, signature, tagged = sample_image(), artifact(), artifact(b'another')
    subject = descriptor_of(image).digest
    image.referrers = [Referrer(signature, subject=subject), Referrer(tagged, tag='signature')]
    to = output()
    copier = copy_of(image, to, Settings(), 'memory://source')
    receipt = copier.run()
    assert isinstance(to, IndexShelf)
    assert to.steps[-3:] == [f'attach {subject}', 'attach signature', 'tag'] and len(copier.layers) == 5
    assert receipt.manifest_digest == subject and receipt.diff_ids == image.diff_ids
    assert receipt.of_kind('referrer')[0].digest == descriptor_of(signature).digest
    assert Digest.of(b'a signature') in {each.digest for each in receipt.of_kind('layer')}


def test_referrers_of_an_index_are_copied_with_it(shelf: Shelf) -> None:
    images, signature = two(), artifact()
    index = index_of(images, PLATFORMS, [Referrer(signature, subject=descriptor_of(images[0]).digest)])
    receipt = copy(index)
    assert descriptor_of(signature).digest in shelf.blobs and len(receipt.of_kind('referrer')) == 1


@pytest.mark.parametrize('broken', [0, 1, 2])
def test_when_a_part_fails_nothing_is_tagged(broken: int, shelf: Shelf) -> None:
    images = [sample_image(variant=str(number)) for number in range(3)]
    layer = images[broken].layers[2]
    layer._opener = lambda: Source(b'something else')  # type: ignore[attr-defined]
    to = output()
    with pytest.raises(DigestMismatch, match=str(layer.descriptor.digest if layer.descriptor else '')):
        copy(index_of(images, ['linux/amd64', 'linux/arm64', 'linux/386']), to)
    assert 'tag' not in shelf.blobs and shelf.aborts == 1


def test_a_writer_that_cannot_clean_up_says_so_too() -> None:
    class Stuck(IndexShelf):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            raise OutputError('the shelf is full')

        def abort(self) -> None:
            raise OSError('stuck')
    with pytest.raises(OutputError, match='full.*could not be removed: stuck'):
        copy(index_of(two()), output(Stuck))


def test_a_destination_for_one_image_refuses_before_anything_is_read(shelf: Shelf) -> None:
    image = sample_image()
    image.referrers = [Referrer(artifact(), tag='x')]
    for opened, words in [(index_of(two()), 'is an index of 2: choose one with --platform'),
                          (artifact(), 'is not one: its config is application/vnd.oci.empty'),
                          (image, 'leave out referrers=true')]:
        with pytest.raises(UsageError, match=f'memory://shelf holds .*{words}'):
            copy(opened, output(MemoryOutput))
    assert not shelf.blobs and not shelf.aborts


def test_a_writer_that_promises_too_much_is_named() -> None:
    class Empty(MemoryOutput):
        holds_indexes = True
    with pytest.raises(PluginError, match='Empty declares holds_indexes, but has no put_documents'):
        copy(index_of(two()), output(Empty))
    with pytest.raises(PluginError, match='does not take STORED form'):
        copy(index_of(two()), output(IndexShelf, form='tar'))

    class Silent(IndexShelf):
        def finalize_index(self, index: object) -> Receipt:  # type: ignore[override]
            return None  # type: ignore[return-value]
    with pytest.raises(PluginError, match='Silent returned None instead of a Receipt'):
        copy(index_of(two()), output(Silent))


class Nothing(EntryFilter):
    """Changes no entry."""

    def entry(self, entry: TarEntry) -> TarEntry:
        return entry


def test_filters_are_applied_to_each_image_and_artifacts_left_out(shelf: Shelf) -> None:
    index = index_of([*two(), artifact()], [*PLATFORMS, 'unknown/unknown'])
    changed = filtered(index, [Without({'name': 'etc/old'}, Settings())])
    receipt = copy(changed)
    old, new = index.index, Index.parse(shelf.blobs['tag'])
    assert [entry.platform for entry in new.manifests] == [entry.platform for entry in old.manifests[:2]]
    assert json.loads(shelf.blobs['tag'])['manifests'][0]['platform']['os.version'] == '1'
    assert not {entry.digest for entry in new.manifests} & {entry.digest for entry in old.manifests}
    for entry in new.manifests:
        assert Digest.of(shelf.blobs[entry.digest]) == entry.digest and len(shelf.blobs[entry.digest]) == entry.size
    assert isinstance(changed, ImageIndex) and receipt.manifest_digest == new.digest
    note, = changed.notes
    assert str(old.manifests[2].digest) in note and 'left out' in note


def test_filters_that_change_nothing_keep_every_byte(shelf: Shelf) -> None:
    index = index_of([index_of(two(), PLATFORMS)])
    copy(filtered(index, [Nothing({}, Settings())]))
    assert shelf.blobs['tag'] == index.index.raw


def test_content_that_cannot_be_filtered_is_refused() -> None:
    filters, image = [Nothing({}, Settings())], sample_image()
    image.referrers = [Referrer(artifact(), tag='x')]
    for opened, words in [(artifact(), 'is not an image, so filters cannot change it'),
                          (index_of([artifact()]), 'holds no image that a filter could change'),
                          (image, 'leave out the filters or referrers=true')]:
        with pytest.raises(UsageError, match=words):
            filtered(opened, filters)
        assert filtered(opened, []) is opened


def test_layers_of_an_index_are_all_that_is_moved() -> None:
    index = index_of([index_of(two()), artifact()])
    assert len(index.layers) == 7
    closed: list[int] = []
    for number, child in enumerate(index_of(two()).children):
        child.content.on_close(lambda number=number: closed.append(number))  # type: ignore
        child.content.close()
    assert closed == [0, 1]


def test_a_changed_entry_loses_the_bytes_that_were_embedded_in_it() -> None:
    image = sample_image()
    assert image.manifest
    entry = {**descriptor_of(image).to_json(), 'data': b64encode(image.manifest.raw).decode()}
    index = Index.parse(json.dumps({'schemaVersion': 2, 'manifests': [entry]}).encode())
    other = Descriptor(entry['mediaType'], Digest.of(b'other'), 5)
    assert index.replaced({0: descriptor_of(image)}) is index
    assert 'data' not in json.loads(index.replaced({0: other}).raw)['manifests'][0]


def test_an_interrupted_copy_stops_soon_and_leaves_no_tag(shelf: Shelf) -> None:
    class Slow(IndexShelf):
        def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
            with layer.open() as stream:
                while True:
                    time.sleep(0.01)
                    stream.readinto(memoryview(bytearray(1)))
    settings = Settings()
    threading.Timer(0.2, settings.cancellation.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        copy_of(index_of(two(), PLATFORMS), output(Slow), settings, 'memory://source').run()
    assert time.monotonic() - started < 2 and 'tag' not in shelf.blobs and shelf.aborts == 1


@pytest.mark.parametrize('there', [False, True])
def test_progress_ends_at_what_was_said_at_the_beginning(there: bool) -> None:
    def offered() -> ImageIndex:
        image, signature = sample_image(variant='more'), artifact()
        return index_of([*two(), image], [*PLATFORMS, 'linux/386'], [Referrer(signature, tag='signature')])
    if there:
        copy(offered())
    index, heard = offered(), list[int]()
    copy_of(index, output(), Settings(), 'memory://source', heard.append, '').run()
    assert sum(heard) == size_to_move(index) > 0
