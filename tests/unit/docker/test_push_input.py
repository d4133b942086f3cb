"""dockerpush:// against a daemon that really pushes: what arrives, under which digests, and that nothing is left."""
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Image, Layer, Location, Receipt, Settings
from occystrap_core.image.derived import DerivedImage
from occystrap_core.oci import Digest, media_types
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_dir.layout.writer import LayoutOutput
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.fake_push import by_index
from tests.unit.docker.layouts import Exported, double_tars, legacy
from tests.unit.docker.runs import SETTINGS, pushed, read, write

IMAGES = [legacy, lambda: by_index(double_tars())]


@pytest.fixture(autouse=True)
def nothing_is_left(daemon: FakeDaemon, tmp_path: Path) -> object:
    """After each test the daemon has the one tag and image, and the temporary directory is empty."""
    yield
    assert set(daemon.tags) == {'sample:v1'} and len(daemon.images) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('made', IMAGES)
def test_reads_an_image(made: Callable[[], Exported], daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(made(), 'sample:v1')
    image = pushed(daemon, tmp_path)
    assert image.sequential and list(image.diff_ids) == expected.diff_ids
    assert read(image) == {Digest.of(tar): len(tar) for tar in expected.tars}
    assert image.config.raw == expected.config
    assert image.manifest and image.manifest.media_type == media_types.DOCKER_MANIFEST
    assert len(image.manifest.layers) == 4


def test_layers_are_blobs_that_can_be_opened_again_until_the_next_comes(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        for layer in image.arrivals():
            assert layer.descriptor and layer.diff_id == image.diff_ids[layer.index]
            for _ in range(2):
                with layer.stored() as blob:
                    assert blob.drain() == layer.descriptor.digest
            assert layer.tar_size() == len(legacy().tars[layer.index])
            files = [path for path in tmp_path.rglob('*') if path.name == layer.descriptor.digest.hex]
            assert len({path.stat().st_ino for path in files if path.parent.name == 'sha256'}) == 1


def test_blobs_are_removed_after_they_were_taken(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        taken: list[Layer] = []
        for layer in image.arrivals():
            for earlier in taken:
                assert earlier.descriptor
                assert not [*tmp_path.glob(f'*/blobs/sha256/{earlier.descriptor.digest.hex}')]
            taken.append(layer)


def test_nothing_is_pushed_before_a_layer_is_requested(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path):
        assert not any('/push' in request or '/tag' in request for request in daemon.requests)


def test_the_push_is_by_id_so_that_a_moving_tag_does_no_harm(daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    daemon.tags['other:v1'] = expected.id
    image = pushed(daemon, tmp_path)
    daemon.add(legacy([b'another'.ljust(1024, b'\0')]), 'sample:v1')
    assert len(read(image)) == 3 and image.config.digest == expected.id
    del daemon.tags['other:v1'], daemon.images[expected.id]


def test_an_image_that_lost_its_names_is_not_removed_with_the_last(daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        for _ in image.arrivals():
            daemon.tags.pop('sample:v1', None)
    temporary, = daemon.tags
    assert daemon.images[expected.id] and len(image.notes) == 1
    assert image.notes[0].startswith(f'the temporary tag {temporary} was kept, as the image has lost its other names')
    daemon.tags = {'sample:v1': expected.id}


def test_a_tag_that_could_not_be_removed_is_reported(daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    daemon.faults['untag'] = '500 out of order'
    image = pushed(daemon, tmp_path)
    read(image)
    temporary = next(tag for tag in daemon.tags if tag != 'sample:v1')
    assert image.notes[0].startswith(f'the temporary tag {temporary} may be left: ')
    assert image.notes[0].endswith('out of order')
    daemon.tags = {'sample:v1': expected.id}


def test_a_layout_of_it_has_the_manifest_that_was_pushed(daemon: FakeDaemon, tmp_path: Path, directory: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    image, receipt = copied(daemon, tmp_path, directory)
    assert image.manifest
    manifest, = receipt.of_kind('manifest')
    assert manifest.digest == image.manifest.digest
    blobs = {path.name for path in (directory / 'out/blobs/sha256').iterdir()}
    assert {layer.digest.hex for layer in image.manifest.layers} < blobs


def test_a_filter_that_changes_nothing_keeps_the_manifest(daemon: FakeDaemon, tmp_path: Path, directory: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    image, receipt = copied(daemon, tmp_path, directory, DerivedImage)
    manifest, = receipt.of_kind('manifest')
    assert image.manifest and manifest.digest == image.manifest.digest


def copied(daemon: FakeDaemon, temporary: Path, directory: Path, change: Callable[[Image], Image] = lambda image: image,
           ) -> tuple[Image, Receipt]:
    """Copy the image into an OCI layout."""
    options = {'compression': 'gzip', 'tag': None}
    output = LayoutOutput(Location('layout', str(directory / 'out'), options, {}), SETTINGS)
    with pushed(daemon, temporary) as source:
        image = change(source)
        return image, ImageCopy(image, output, SETTINGS, 'dockerpush://sample').run()


def test_into_a_daemon(daemon: FakeDaemon, tmp_path: Path, directory: Path) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path) as image:
        write(daemon, directory, image)
    assert list(daemon.images[daemon.tags.pop('team/sample:v1')].tars) == list(expected.tars)


def test_two_parallel_pushes_do_not_interfere(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    with pushed(daemon, tmp_path, settings=Settings()) as one, pushed(daemon, tmp_path, settings=Settings()) as other:
        pairs = list(zip(one.arrivals(), other.arrivals(), strict=True))
    assert len(pairs) == 3 and all(ours.diff_id == theirs.diff_id for ours, theirs in pairs)
