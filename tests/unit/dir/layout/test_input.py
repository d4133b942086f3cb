"""Which image of a layout is read, as different programs write layouts, and what is refused."""
import json
import os
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Image, ImageIndex, ImageNotFound, InvalidImage, Location, Settings, UsageError, VerifyLevel
from occystrap_core.files import ImageError
from occystrap_core.image.artifact import Artifact
from occystrap_core.oci import Descriptor, Digest, Manifest, blob_name, dump_json, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_dir.layout.input import LayoutInput
from occystrap_dir.layout.place import parse_place
from tests.unit.core.pipeline.indexes import artifact, index_of as image_index
from tests.unit.dir.layout.layouts import entry, findings, opened, put_blob, put_image, put_index, source, write

CONTAINERD = 'io.containerd.image.name'


def two(directory: Path) -> list[Descriptor]:
    """Puts two images, of two platforms, into a layout."""
    return [put_image(directory, sample_image(variant=each)) for each in ('one', 'two')]


def manifest_of(content: Image | ImageIndex) -> Digest:
    assert isinstance(content, Image) and content.manifest
    return content.manifest.digest


@pytest.mark.parametrize(('path', 'root', 'tag', 'digest'), [
    ('/a/b', '/a/b', '', None), ('/a/b:v1', '/a/b', 'v1', None), ('/a:b/c', '/a:b/c', '', None),
    ('/a:b/c:v1', '/a:b/c', 'v1', None), ('/a/b:c:v1', '/a/b:c', 'v1', None), ('/a/b:c/', '/a/b:c', '', None),
    (f'/a/b@{Digest.of(b"")}', '/a/b', '', Digest.of(b'')), (f'/a/b:v1@{Digest.of(b"")}', '/a/b', 'v1', Digest.of(b'')),
    ('/a/b@c', '/a/b@c', '', None)])
def test_the_tag_is_behind_the_last_colon_behind_the_last_slash(path: str, root: str, tag: str, digest: Digest | None,
                                                                ) -> None:
    place = parse_place(path)
    assert (place.root, place.tag, place.digest) == (root, tag, digest)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_place('x:v1').root == str(tmp_path / 'x')


@pytest.mark.parametrize(('name', 'which'), [(':one', 0), (':v2', 1), ('?r.example/app:v2', 1)])
def test_an_image_is_chosen_by_tag_or_name(tmp_path: Path, name: str, which: int) -> None:
    images = two(tmp_path)
    put_index(tmp_path, entry(images[0], 'one'), entry(images[1], 'r.example/app:v2'))
    if name.startswith('?'):
        assert manifest_of(opened(tmp_path, image=name[1:])) == images[which].digest
    else:
        assert manifest_of(opened(f'{tmp_path}{name}')) == images[which].digest
    assert manifest_of(opened(f'{tmp_path}@{images[which].digest}')) == images[which].digest
    assert manifest_of(opened(tmp_path, image=images[which].digest[:20])) == images[which].digest


def test_several_images(tmp_path: Path) -> None:
    images = two(tmp_path)
    put_index(tmp_path, entry(images[0], 'one'), entry(images[1], 'r.example/app:v2'))
    first, second = source(tmp_path).references()
    assert first.tag == 'one' and str(second) == 'r.example/app:v2'
    for pattern in ('r.example/app:v*', 'app:*', 'app*', '*:v2', 'r.example/*'):
        assert [*map(str, source(tmp_path, image=pattern).references())] == ['r.example/app:v2']
    with pytest.raises(ImageNotFound, match=r'has no image that matches x\*; available: one, r.example/app:v2$'):
        opened(tmp_path, image='x*')
    put_index(tmp_path, entry(images[0], 'one'), entry(images[1], 'team/app:v2'))
    with pytest.raises(ImageNotFound, match=r't\*p \(\* stands for no slash; t\*\*p matches some\); available'):
        opened(tmp_path, image='t*p')
    put_index(tmp_path, entry(images[0], 'one'), entry(images[1], 'r.example/app:v2'))
    with pytest.raises(ImageNotFound, match=r'has no image r\*: for a pattern write .*\?image=r\*; available: one'):
        opened(f'{tmp_path}:r*')
    with pytest.raises(ImageNotFound, match='has no image three; available: one, r.example/app:v2$'):
        opened(f'{tmp_path}:three')
    with pytest.raises(UsageError, match='both choose an image'):
        opened(f'{tmp_path}:one', image='one')
    put_index(tmp_path, entry(images[0]), entry(images[1]))
    assert [each.digest for each in source(tmp_path).references()] == [each.digest for each in images]


def test_a_tag_and_a_digest_must_agree(tmp_path: Path) -> None:
    images = two(tmp_path)
    put_index(tmp_path, entry(images[0], 'one'), entry(images[1], 'two'))
    assert manifest_of(opened(f'{tmp_path}:one@{images[0].digest}')) == images[0].digest
    with pytest.raises(ImageNotFound, match=f'one is {images[0].digest}, not {images[1].digest}'):
        opened(f'{tmp_path}:one@{images[1].digest}')


def test_any_manifest_of_the_layout_by_its_digest(tmp_path: Path) -> None:
    whole = image_index([sample_image(), sample_image(variant='arm')], ['linux/amd64', 'linux/arm64'])
    write(f'{tmp_path}:v1', whole)
    child = whole.index.manifests[1].digest
    assert manifest_of(opened(f'{tmp_path}@{child}')) == child
    with pytest.raises(ImageNotFound, match=f'manifest {Digest.of(b"x")} is not in'):
        opened(f'{tmp_path}@{Digest.of(b"x")}')


def test_two_tags_of_one_image_are_one_digest(tmp_path: Path) -> None:
    image = put_image(tmp_path, sample_image())
    put_index(tmp_path, entry(image, 'v1'), entry(image, 'latest'))
    assert manifest_of(opened(tmp_path, image=str(image.digest))) == image.digest


@pytest.mark.parametrize(('name', 'reference'), [
    ('', 'layout'), ('v1', 'layout:v1'), ('r.example/app:v1', 'r.example/app:v1'), ('No Name!', 'layout')])
def test_names_of_images(tmp_path: Path, name: str, reference: str) -> None:
    directory = tmp_path / 'Layout'
    directory.mkdir()
    put_index(directory, entry(put_image(directory, sample_image()), name))
    assert [str(each) for each in source(directory).references()][0].replace('untagged', 'layout') == reference


def test_as_containerd_and_buildx_name_them(tmp_path: Path) -> None:
    image = entry(put_image(tmp_path, sample_image()), 'v1')
    image['annotations'][CONTAINERD] = 'docker.io/library/app:v1'
    put_index(tmp_path, image)
    for name in (f'{tmp_path}', f'{tmp_path}:v1'):
        assert str(opened(name).reference) == 'docker.io/library/app:v1'
    assert str(opened(tmp_path, image='app:v1').reference) == 'docker.io/library/app:v1'


def test_as_oras_lists_everything(tmp_path: Path) -> None:
    """What an index lists and what refers to an image is in index.json, without names."""
    images = two(tmp_path)
    inner = dump_json({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [
        entry(each, platform={'os': 'linux', 'architecture': arch})
        for each, arch in zip(images, ('amd64', 'arm64'), strict=True)]})
    index = put_blob(tmp_path, inner, media_types.OCI_INDEX)
    signature = put_artifact(tmp_path, index)
    put_index(tmp_path, *map(entry, images), entry(signature), entry(index, 'v1'),
              entry(signature, f'sha256-{index.digest.hex}.sig'))
    assert manifest_of(opened(tmp_path, platform='linux/arm64')) == images[1].digest
    whole = opened(tmp_path, platform='all', referrers=True)
    assert isinstance(whole, ImageIndex) and whole.index.raw == inner
    assert [(each.subject, each.tag) for each in whole.referrers] == [
        (index.digest, ''), (None, f'sha256-{index.digest.hex}.sig')]
    put_index(tmp_path, *map(entry, images), entry(signature), entry(index), entry(index))
    assert manifest_of(opened(tmp_path, platform='linux/arm64')) == images[1].digest


def put_artifact(directory: Path, subject: Descriptor | None = None) -> Descriptor:
    made = json.loads(artifact().manifest.raw)
    put_blob(directory, b'{}')
    put_blob(directory, b'a signature')
    document = {**made, **({'subject': subject.to_json()} if subject else {})}
    return put_blob(directory, dump_json(document), media_types.OCI_MANIFEST)


def test_referrers_under_the_tag_that_stands_in_for_an_api(tmp_path: Path) -> None:
    image = put_image(tmp_path, sample_image())
    signature = put_artifact(tmp_path, image)
    listed = put_blob(tmp_path, dump_json({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX,
                                           'manifests': [entry(signature)]}), media_types.OCI_INDEX)
    put_index(tmp_path, entry(image, 'v1'), entry(listed, f'sha256-{image.digest.hex}'))
    assert [each.subject for each in opened(tmp_path, referrers=True).referrers] == [image.digest]
    assert opened(tmp_path).referrers == ()


def test_platforms_side_by_side_in_index_json(tmp_path: Path) -> None:
    images = two(tmp_path)
    put_index(tmp_path, *(entry(each, 'v1', platform={'os': 'linux', 'architecture': arch})
                          for each, arch in zip(images, ('amd64', 'arm64'), strict=True)))
    assert manifest_of(opened(f'{tmp_path}:v1', platform='linux/arm64')) == images[1].digest
    whole = opened(tmp_path, platform='all')
    assert isinstance(whole, ImageIndex) and [each.digest for each in whole.index.manifests] == [
        each.digest for each in images]
    receipt = write(f'{tmp_path}/to:v1', whole)
    assert findings(receipt, VerifyLevel.FULL) == [] and receipt.manifest_digest == whole.index.digest
    with pytest.raises(ImageNotFound, match='s390x; available: linux/amd64, linux/arm64'):
        opened(tmp_path, platform='linux/s390x')


def test_an_artifact_is_taken_by_all_only(tmp_path: Path) -> None:
    pointer = put_artifact(tmp_path)
    put_index(tmp_path, entry(pointer, 'sbom'))
    with pytest.raises(InvalidImage, match='is not a container image: its config is application/vnd.oci.empty'):
        opened(f'{tmp_path}:sbom')
    taken = opened(f'{tmp_path}:sbom', platform='all')
    assert isinstance(taken, Artifact)
    receipt = write(f'{tmp_path}/to:sbom', taken)
    assert receipt.manifest_digest == pointer.digest and findings(receipt, VerifyLevel.FULL) == []


def without(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).unlink()


def saying(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(content)


def leading_out(name: str) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        (directory / name).rename(directory.parent / 'outside')
        (directory / name).symlink_to(directory.parent / 'outside')
    return change


IMAGE = sample_image()
assert IMAGE.manifest and IMAGE.layers[0].descriptor
MANIFEST, CONFIG = blob_name(IMAGE.manifest.digest), blob_name(IMAGE.config.digest)
LAYER = blob_name(IMAGE.layers[0].descriptor.digest)


@pytest.mark.parametrize(('change', 'words', 'rule'), [
    (without('oci-layout'), 'is not an image layout: it has no oci-layout', 'archive-invalid'),
    (saying('oci-layout', b'{"imageLayoutVersion": "2.0.0"}'), "version '2.0.0', expected 1.0.0", 'archive-invalid'),
    (saying('oci-layout', b'1.0.0'), 'is not a JSON object|is not valid JSON', 'archive-invalid'),
    (without('index.json'), 'it has no index.json', 'index-missing'),
    (saying('index.json', b'{'), 'index.json is not valid JSON', 'index-invalid'),
    (saying('index.json', b'{"schemaVersion": 2, "manifests": 5}'), "field 'manifests'", 'index-invalid'),
    (saying('index.json', b'{"schemaVersion": 2, "manifests": [{}]}'), "index.json: ", 'index-invalid'),
    (saying('index.json', b' ' * ((4 << 20) + 1)), 'more than the 4194304 bytes', 'index-invalid'),
    (saying('index.json', b'{"schemaVersion": 2, "manifests": []}'), 'holds no image', 'manifest-missing'),
    (without(MANIFEST), 'is not in', 'manifest-missing'),
    (saying(MANIFEST, b'{}'), 'has digest', 'manifest-digest'),
    (saying(MANIFEST, b' ' * ((8 << 20) + 1)), 'more than the 8388608 bytes', 'manifest-invalid'),
    (leading_out(MANIFEST), 'leads out of the directory', 'manifest-invalid'),
    (without(CONFIG), 'is not in', 'config-missing'),
    (saying(CONFIG, b'{}'), 'has digest', 'config-digest'),
    (saying(CONFIG, b' ' * ((8 << 20) + 1)), 'more than the 8388608 bytes', 'config-invalid'),
    (without(LAYER), 'is not in', 'layer-missing'),
    (saying(LAYER, b'short'), 'has 5 bytes, expected', 'layer-size'),
    (leading_out('index.json'), 'leads out of the directory', 'index-invalid')])
def test_broken_documents_are_named_with_their_rule(tmp_path: Path, change: Callable[[Path], object], words: str,
                                                    rule: str) -> None:
    directory = tmp_path / 'layout'
    put_index(directory, entry(put_image(directory, sample_image()), 'v1'))
    change(directory)
    with pytest.raises(ImageError, match=words) as raised:
        opened(directory)
    assert str(directory) in str(raised.value) and '\n' not in str(raised.value)
    assert (raised.value.rule or f'image-{raised.value.problem}') == rule


@pytest.mark.parametrize('wrong', [{'size': 5}, {'mediaType': media_types.OCI_INDEX}])
def test_an_entry_that_is_not_what_it_points_at(tmp_path: Path, wrong: dict[str, Any]) -> None:
    put_index(tmp_path, {**entry(put_image(tmp_path, sample_image())), **wrong})
    with pytest.raises(InvalidImage, match='expected 5|but was served as') as raised:
        opened(tmp_path)
    assert raised.value.rule in ('manifest-size', 'manifest-media-type')


@pytest.mark.parametrize('change', [
    leading_out(LAYER), lambda directory: ((directory / LAYER).unlink(), os.mkfifo(directory / LAYER)), without(LAYER),
    saying(LAYER, b'x' * IMAGE.layers[0].descriptor.size), saying(LAYER, b'')])
def test_a_layer_that_changes_behind_our_back(tmp_path: Path, change: Callable[[Path], object]) -> None:
    directory = tmp_path / 'layout'
    put_index(directory, entry(put_image(directory, sample_image()), 'v1'))
    image = opened(directory)
    change(directory)
    with pytest.raises(ImageError):
        image.layers[0].stored().drain()


def test_a_foreign_layer_is_not_fetched_from_its_urls(tmp_path: Path) -> None:
    foreign = Descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', Digest.of(b'elsewhere'), 9,
                         urls=('http://127.0.0.1:9/elsewhere',))
    put_image(tmp_path, IMAGE)
    assert IMAGE.manifest
    manifest = Manifest.build(IMAGE.manifest.config, [*IMAGE.manifest.layers[:2], foreign])
    put_index(tmp_path, entry(put_blob(tmp_path, manifest.raw, media_types.OCI_MANIFEST)))
    with pytest.raises(InvalidImage, match=f'{foreign.digest} is a foreign layer'):
        opened(tmp_path).layers[2].stored().drain()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=f'there is no directory {tmp_path}/x'):
        opened(f'{tmp_path}/x:v1')


@pytest.mark.parametrize(('deep', 'words'), [(8, ''), (9, 'more than 8 deep')])
def test_indexes_within_indexes_end_somewhere(tmp_path: Path, deep: int, words: str) -> None:
    pointer = put_image(tmp_path, sample_image())
    for _ in range(deep):
        raw = dump_json({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [entry(pointer)]})
        pointer = put_blob(tmp_path, raw, media_types.OCI_INDEX)
    put_index(tmp_path, entry(pointer, 'v1'))
    if words:
        with pytest.raises(InvalidImage, match=words):
            opened(tmp_path, platform='all')
    else:
        assert len(opened(tmp_path, platform='all').layers) == 3


def test_sizes_are_known_without_reading(tmp_path: Path) -> None:
    write(tmp_path)
    for layer in opened(tmp_path).layers:
        assert layer.descriptor and layer.present_size() == layer.descriptor.size
        with layer.tar() as stream:
            assert stream.drain() == layer.diff_id and layer.tar_size() == stream.size


def test_settings_choose_the_platforms(tmp_path: Path) -> None:
    from occystrap_core import Location
    from occystrap_dir.layout.input import LayoutInput
    write(f'{tmp_path}:v1', image_index([sample_image(), sample_image(variant='arm')], ['linux/amd64', 'linux/arm64']))
    images = LayoutInput(Location('layout', str(tmp_path), {'image': None, 'platform': None, 'referrers': False}, {}),
                         Settings().choosing('all'))
    reference, = images.references()
    assert isinstance(images.open(reference), ImageIndex)


def calls(work: Callable[[], object]) -> int:
    """The number of functions that Python calls, which is the same each time, as seconds are not."""
    counted = count()
    sys.setprofile(lambda frame, event, argument: next(counted) if event == 'call' else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return next(counted)


def named(directory: Path, names: int) -> Path:
    """A layout whose index.json has that many names of one image."""
    directory.mkdir()
    image = put_image(directory, sample_image())
    put_index(directory, *(entry(image, f'app:v{number}') for number in range(names)))
    time.sleep(0.03)  # a file so new that it could change unnoticed is read each time
    return directory


def test_many_names_take_time_in_proportion(tmp_path: Path) -> None:
    few, many = (named(tmp_path / str(names), names) for names in (100, 400))
    assert calls(source(many).references) < 5 * calls(source(few).references)


def test_a_list_of_the_images_of_a_layout_takes_time_in_proportion(tmp_path: Path) -> None:
    def one_by_one(directory: Path, names: int) -> None:
        settings = Settings()
        for number in range(names):
            values = {'image': f'app:v{number}', 'platform': None, 'referrers': False}
            assert LayoutInput(Location('layout', str(directory), values, {}), settings).references()
    few, many = (named(tmp_path / str(names), names) for names in (50, 200))
    assert calls(lambda: one_by_one(many, 200)) < 5 * calls(lambda: one_by_one(few, 50))
