"""Sorting what daemons export: layers and config in every layout, and what is wrong with them."""
from collections.abc import Callable, Iterator, Sequence

import pytest

from occystrap_core import InvalidImage
from occystrap_core.files import DigestMismatch, IteratorSource
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config
from occystrap_docker.daemon.image_list import ImageFacts
from occystrap_docker.export.export import Export
from tests.unit.docker.layouts import LAYOUTS, Exported, blobs, containerd, double_tars, legacy, make_tar, podman

Layout = Callable[[], Exported]
every_layout = pytest.mark.parametrize('layout', LAYOUTS)


def export(image: Exported, archive: bytes | None = None, diff_ids: Sequence[Digest] | None = None) -> Export:
    archive = image.archive if archive is None else archive
    facts = ImageFacts(image.id, tuple(image.diff_ids if diff_ids is None else diff_ids), (), len(archive))
    return Export(IteratorSource(in_one_buffer(archive)), facts, 'sample')


def in_one_buffer(content: bytes) -> Iterator[memoryview]:
    """Yield the content piece by piece in one buffer, which is used again, as connections do."""
    buffer = memoryview(bytearray(5000))
    for start in range(0, len(content), len(buffer)):
        piece = content[start:start + len(buffer)]
        buffer[:len(piece)] = piece
        yield buffer[:len(piece)]


def read(opened: Export) -> dict[Digest, bytes]:
    """Read every layer; return the tars by diff_id."""
    tars = {}
    for layer in opened.layers():
        with layer.tar() as tar:
            content = b''.join(bytes(chunk) for chunk in tar.chunks())
        assert layer.diff_id is not None
        tars[layer.diff_id] = content
    return tars


@every_layout
def test_all_layers_come_once_and_the_config_too(layout: Layout) -> None:
    image = layout()
    opened = export(image)
    assert read(opened) == dict(zip(image.diff_ids, image.tars))
    opened.check_complete()
    assert opened.config().raw == image.config


@every_layout
def test_index_and_digest_are_known_when_a_layer_was_read(layout: Layout) -> None:
    image = layout()
    for layer in export(image).layers():
        with layer.tar() as tar:
            tar.drain()
        assert layer.diff_id and layer.index == image.diff_ids.index(layer.diff_id)


@pytest.mark.parametrize('layout', [blobs, podman])
def test_layers_named_by_digest_are_known_before_they_are_read(layout: Layout) -> None:
    image = layout()
    assert {layer.diff_id: layer.tar_size() for layer in export(image).layers()} == {
        Digest.of(tar): len(tar) for tar in image.tars}


@every_layout
def test_unread_layers_count_as_present(layout: Layout) -> None:
    opened = export(layout())
    assert [layer.opened for layer in opened.layers()]
    opened.check_complete()
    opened.config()


@every_layout
def test_layers_left_in_the_middle_do_no_harm(layout: Layout) -> None:
    opened = export(layout())
    for layer in opened.layers():
        with layer.tar() as tar:
            tar.readinto(memoryview(bytearray(10)))
    opened.check_complete()
    opened.config()


def test_a_layer_is_opened_once() -> None:
    for layer in export(legacy()).layers():
        with layer.tar() as tar:
            tar.drain()
        with pytest.raises(InvalidImage, match='can be read only once'):
            layer.tar()


@every_layout
def test_the_config_alone_is_found_without_reading_to_the_end(layout: Layout) -> None:
    image = layout()
    assert export(image).find_config().raw == image.config


def test_finding_the_config_stops_there() -> None:
    image = legacy()
    assert export(image, image.archive[:4096]).find_config().digest == image.id


def changed(image: Exported) -> bytes:
    """The archive with another byte in the content of its first layer."""
    place = image.archive.index(b'echo hello')
    return image.archive[:place] + b'X' + image.archive[place + 1:]


@pytest.mark.parametrize('layout', [legacy, blobs, podman])
def test_a_changed_layer_is_an_error_that_names_it(layout: Layout) -> None:
    image = layout()
    with pytest.raises(DigestMismatch) as error:
        read(export(image, changed(image)))
    named = 'layer.tar' if layout is legacy else Digest.of(image.tars[0])
    assert named in str(error.value)


def test_a_changed_layer_that_is_not_read_is_found_by_its_hash() -> None:
    image = legacy()
    with pytest.raises(DigestMismatch, match='which none of the image\'s layers has'):
        list(export(image, changed(image)).layers())


def test_a_broken_compressed_layer_is_an_error() -> None:
    image = containerd()
    place = image.archive.index(b'\x1f\x8b') + 40
    with pytest.raises(InvalidImage):
        read(export(image, image.archive[:place] + b'XXXX' + image.archive[place + 4:]))


@every_layout
def test_a_missing_layer_is_an_error_that_names_it(layout: Layout) -> None:
    image = layout()
    lost = Digest.of(b'lost')
    opened = export(image, diff_ids=[*image.diff_ids, lost])
    read(opened)
    with pytest.raises(InvalidImage, match=f'without layer {lost}'):
        opened.check_complete()


@pytest.mark.parametrize('layout', [legacy, blobs, podman])
def test_a_config_that_is_not_the_image_s_is_an_error(layout: Layout) -> None:
    image = layout()
    other = image.archive.replace(b'/usr/bin/hello', b'/usr/bin/hallo')
    opened = export(image, other.replace(b'echo hallo', b'echo hello'))
    with pytest.raises(InvalidImage, match=f'without the config of {image.id}'):
        list(opened.layers())
        opened.config()


def test_a_config_with_other_layers_than_the_daemon_said_is_an_error() -> None:
    image = blobs()
    opened = export(image, diff_ids=image.diff_ids[:2])
    list(opened.layers())
    with pytest.raises(InvalidImage, match='lists other layers'):
        opened.config()


def test_of_an_index_the_config_with_the_right_layers_counts() -> None:
    expected, other = blobs(), blobs(double_tars('other'))
    index = b'{"manifests": [{"digest": "%b"}, {"digest": "%b"}]}' % (other.id.encode(), expected.id.encode())
    files = [(f'blobs/sha256/{Digest.of(each).hex}', each) for each in (index, other.config, expected.config)]
    opened = export(Exported(Digest.of(index), expected.config, expected.tars, make_tar(files)))
    list(opened.layers())
    assert opened.config().raw == expected.config


def test_a_config_that_comes_in_several_pieces() -> None:
    tars = double_tars()
    config = sample_config(tars) + b' ' * 20_000
    image = Exported(Digest.of(config), config, tars, make_tar([
        *((f'{Digest.of(tar).hex}/layer.tar', tar) for tar in tars), (f'{Digest.of(config).hex}.json', config)]))
    opened = export(image)
    read(opened)
    assert opened.config().raw == config


def test_documents_that_name_each_other_end() -> None:
    image = blobs()
    index = b'{"manifests": [{"digest": "%b"}, 5, {"digest": "%b"}]}' % (image.id.encode(), image.id.encode())
    opened = export(Exported(Digest.of(index), b'', image.tars, make_tar([(f'x/{Digest.of(index).hex}', index)])))
    list(opened.layers())
    with pytest.raises(InvalidImage, match='without the config'):
        opened.config()


def test_an_image_without_layers() -> None:
    for layout in (legacy, blobs, podman):
        opened = export(layout([]))
        assert read(opened) == {}
        opened.check_complete()
        assert not opened.config().diff_ids
