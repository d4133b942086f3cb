"""What a directory looks like after images were written to it."""
import io
import os
from pathlib import Path

import pytest

from occystrap_core import Evidence, Image, OutputError
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.unit.dir.directories import content, findings, layer_files, read_json, write, write_several

HEXES = [Digest.of(tar).hex for tar in sample_layers()]


def test_one_image_lies_there_as_docker_save_has_it(tmp_path: Path) -> None:
    write(tmp_path / 'x', sample_image('registry.example/team/app:v1'))
    image_id = Digest.of(sample_config()).hex
    assert read_json(tmp_path / 'x' / 'manifest.json') == [{
        'Config': f'{image_id}.json', 'RepoTags': ['registry.example/team/app:v1'],
        'Layers': [f'{name}/layer.tar' for name in HEXES]}]
    assert (tmp_path / 'x' / f'{image_id}.json').read_bytes() == sample_config()
    assert [(tmp_path / 'x' / name / 'layer.tar').read_bytes() for name in HEXES] == sample_layers()
    assert read_json(tmp_path / 'x' / 'catalog.json') == {'team/app': {'v1': 'manifest.json'}}
    assert sorted(os.listdir(tmp_path / 'x')) == sorted(
        [*HEXES, f'{image_id}.json', 'manifest.json', 'catalog.json', '.occystrap'])


def test_nothing_temporary_stays(tmp_path: Path) -> None:
    write(tmp_path / 'x')
    assert sorted(os.listdir(tmp_path / 'x' / '.occystrap')) == ['active', 'lock', 'receipts']


def test_several_images_share_their_layers(tmp_path: Path) -> None:
    receipts = write_several(tmp_path, 'a/one:v1', 'a/two:v2', 'b/one:v1')
    assert read_json(tmp_path / 'catalog.json') == {
        'a/one': {'v1': 'manifest-a_one-v1.json'}, 'a/two': {'v2': 'manifest-a_two-v2.json'},
        'b/one': {'v1': 'manifest-b_one-v1.json'}}
    assert len(layer_files(tmp_path)) == 5
    assert read_json(tmp_path / 'manifest-b_one-v1.json')[0]['ImageName'] == 'b/one'
    assert not (tmp_path / 'manifest.json').exists()
    assert [each.evidence for each in receipts] == [Evidence.STREAMED, Evidence.DESCRIPTOR, Evidence.DESCRIPTOR]
    assert [findings(receipt) for receipt in receipts] == [[], [], []]


def test_names_that_would_be_one_file_are_kept_apart(tmp_path: Path) -> None:
    long = f'{"long/" * 50}n:{"t" * 99}'
    receipts = write_several(tmp_path, 'a/b:v', 'a_b:v', 'c:d-e', 'c-d:e', 'x:V1', 'x:v1', long)
    manifests = {receipt.of_kind('manifest')[0].locator for receipt in receipts}
    assert len({name.lower() for name in manifests}) == 7
    assert [findings(receipt) for receipt in receipts] == [[]] * 7


def test_the_same_name_from_two_registries_is_kept_apart(tmp_path: Path) -> None:
    one, two, again = write_several(tmp_path, 'a.example/app:v1', 'b.example/app:v1', 'b.example/app:v1')
    assert set(read_json(tmp_path / 'catalog.json')) == {'app', 'b.example/app'}
    assert findings(one) == [] and findings(two) == [] and findings(again) == []


def test_an_image_known_by_its_digest_alone_is_listed_by_it(tmp_path: Path) -> None:
    digest = f'sha256:{"a" * 64}'
    (receipt,) = write_several(tmp_path, f'r.example/app@{digest}')
    assert read_json(tmp_path / 'catalog.json') == {'app': {digest: f'manifest-app-sha256_{"a" * 64}.json'}}
    assert read_json(tmp_path / f'manifest-app-sha256_{"a" * 64}.json')[0]['RepoTags'] == []
    assert findings(receipt) == []


@pytest.mark.parametrize('unique', [False, True])
def test_an_image_written_again_takes_the_place_of_the_old_one(tmp_path: Path, unique: bool) -> None:
    write(tmp_path / 'new', sample_image(variant='two'), unique)
    write(tmp_path / 'x', sample_image(variant='one'), unique)
    receipt = write(tmp_path / 'x', sample_image(variant='two'), unique)
    assert _without_receipts(tmp_path / 'x') == _without_receipts(tmp_path / 'new')
    assert findings(receipt) == []


def _without_receipts(directory: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(directory).items() if 'receipts' not in name}


def test_replacing_an_image_keeps_shared_layers(tmp_path: Path) -> None:
    (one,) = write_several(tmp_path, 'one:v1')
    write(tmp_path, sample_image('two:v1', variant='one:v1'), unique=True)
    two = write(tmp_path, sample_image('two:v1', variant='other'), unique=True)
    assert findings(one) == [] and findings(two) == []


def test_a_directory_of_one_image_becomes_one_of_several(tmp_path: Path) -> None:
    write(tmp_path, sample_image('one:v1', variant='old'))
    receipts = write_several(tmp_path, 'two:v1', 'one:v1')
    assert sorted(read_json(tmp_path / 'catalog.json')) == ['one', 'two']
    assert not (tmp_path / 'manifest.json').exists() and len(layer_files(tmp_path)) == 4
    assert [findings(receipt) for receipt in receipts] == [[], []]


def test_a_directory_of_several_images_is_not_wiped_for_one(tmp_path: Path) -> None:
    (receipt,) = write_several(tmp_path, 'one:v1')
    with pytest.raises(OutputError, match='holds several images: add .unique_names=true'):
        write(tmp_path, sample_image('two:v1'))
    assert findings(receipt) == []


def test_files_have_the_permissions_that_the_user_asks_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / 'x')
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / 'x').rglob('*') if path.is_file()} == {0o640}


def test_a_layer_that_comes_twice_lies_there_once(tmp_path: Path) -> None:
    tar = sample_layers()[1]
    layers = [TarLayer(index, Digest.of(tar), lambda: io.BytesIO(tar), len(tar)) for index in range(2)]
    image = Image(Reference.parse('a:b'), ImageConfig.parse(sample_config([tar, tar])), layers)
    assert findings(write(tmp_path, image)) == []
    assert len(layer_files(tmp_path)) == 1 and len(read_json(tmp_path / 'manifest.json')[0]['Layers']) == 2
