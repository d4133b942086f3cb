"""Reading directories: our own, those of version 0.4.17, unpacked archives, and what is no image at all."""
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Image, ImageNotFound, InvalidImage
from occystrap_core.files import DigestMismatch
from occystrap_core.oci import Digest
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.unit.dir.directories import content, read_json, source, write, write_several


def read(directory: Path, image: str | None = None, tag: str | None = None) -> Image:
    """Opens the chosen image of a directory."""
    images = source(directory, image, tag)
    (reference,) = images.references()
    return images.open(reference)


def tars(image: Image) -> list[bytes]:
    """All layers of an image, read to their ends."""
    return [b''.join(bytes(chunk) for chunk in layer.tar().chunks()) for layer in image.layers]


def test_written_images_are_read(tmp_path: Path) -> None:
    write(tmp_path, sample_image('r.example:5000/team/app:v1'))
    with read(tmp_path) as image:
        assert str(image.reference) == 'r.example:5000/team/app:v1'
        assert image.config.raw == sample_config() and tars(image) == sample_layers()
        assert [layer.tar_size() for layer in image.layers] == [len(tar) for tar in sample_layers()]
        assert all(isinstance(layer, TarLayer) for layer in image.layers) and image.manifest is None


def test_a_copy_of_a_copy_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / 'one', sample_image('r.example/app:v1'))
    write(tmp_path / 'two', read(tmp_path / 'one'))
    without = [{name: data for name, data in content(tmp_path / each).items() if 'receipts' not in name}
               for each in ('one', 'two')]
    assert without[0] == without[1]


def test_several_images_or_one_of_them(tmp_path: Path) -> None:
    write_several(tmp_path, 'r.example/a/one:v1', 'a/one:v2', 'two:v1')
    every = ['r.example/a/one:v1', 'a/one:v2', 'two:v1']
    for name, expected in ((None, every), ('a/one', every[:2]), ('*:v1', [every[2]]), ('**:v1', [every[0], every[2]]),
                           ('a/*', every[:2]), ('r.example/a/*:v[0-9]', every[:1]),
                           ('two*', every[2:])):
        assert sorted(map(str, source(tmp_path, name).references())) == sorted(expected)
    with pytest.raises(ImageNotFound, match='holds no image two:v2; available: a/one:v1, a/one:v2, two:v1$'):
        read(tmp_path, 'two', 'v2')
    assert str(read(tmp_path, 'two').reference) == 'two:v1'
    assert str(read(tmp_path, tag='v2').reference) == 'a/one:v2'
    assert str(read(tmp_path, 'one', 'v1').reference) == 'r.example/a/one:v1'
    assert str(read(tmp_path, 'one:v2').reference) == 'a/one:v2'
    assert tars(read(tmp_path, 'two'))[2] == sample_layers('two:v1')[2]


def test_an_image_known_by_its_digest_is_read(tmp_path: Path) -> None:
    write_several(tmp_path, f'app@sha256:{"a" * 64}')
    assert str(read(tmp_path).reference) == f'app@sha256:{"a" * 64}'


def test_missing_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=f'there is no directory {tmp_path}/x'):
        read(tmp_path / 'x')
    with pytest.raises(ImageNotFound, match='holds no image: it has neither'):
        read(tmp_path)


def save(directory: Path, tags: list[str] | None, layers: list[bytes], config: bytes, many: int = 1) -> None:
    """Writes a directory as it lies in a docker archive of the legacy layout: layers named by anything."""
    names = []
    for number, tar in enumerate(layers):
        (directory / f'{number:064}').mkdir(parents=True)
        (directory / f'{number:064}' / 'layer.tar').write_bytes(tar)
        names.append(f'{number:064}/layer.tar')
    (directory / f'{Digest.of(config).hex}.json').write_bytes(config)
    entry = {'Config': f'{Digest.of(config).hex}.json', 'RepoTags': tags, 'Layers': names}
    (directory / 'manifest.json').write_text(json.dumps([entry] * many))


def test_an_unpacked_archive_is_read(tmp_path: Path) -> None:
    save(tmp_path, ['app:v1', 'app:latest'], sample_layers(), sample_config())
    images = source(tmp_path)
    assert [*map(str, images.references())] == ['app:v1', 'app:latest']
    assert len({images.content_key(each) for each in images.references()}) == 1
    assert str(read(tmp_path, tag='latest').reference) == 'app:latest'
    assert tars(read(tmp_path, 'app', 'v1')) == sample_layers()


def test_an_image_without_a_name_is_called_by_its_directory(tmp_path: Path) -> None:
    save(tmp_path / 'My App', None, sample_layers(), sample_config())
    assert str(read(tmp_path / 'My App').reference) == 'my-app'


def test_a_layer_that_is_a_link_within_the_directory_is_read(tmp_path: Path) -> None:
    tar = sample_layers()[0]
    save(tmp_path, ['app:v1'], [tar, tar], sample_config([tar, tar]))
    (tmp_path / f'{1:064}/layer.tar').unlink()
    (tmp_path / f'{1:064}/layer.tar').symlink_to(f'../{0:064}/layer.tar')
    assert tars(read(tmp_path)) == [tar, tar]


def as_old_version(directory: Path, images: dict[str, str], unique: bool) -> None:
    """Writes what version 0.4.17 writes: a reformatted config, layers named by their blobs, one catalog for all."""
    catalog: dict[str, dict[str, str]] = {}
    for reference, variant in images.items():
        name, _, tag = reference.rpartition(':')
        config = sample_config(sample_layers(variant))
        indented = json.dumps(json.loads(config), indent=4, sort_keys=True)
        (directory / f'{Digest.of(config).hex}.json').write_text(indented)
        names = []
        for tar in sample_layers(variant):
            names.append(f'{Digest.of(tar + b"blob").hex}/layer.tar')
            (directory / names[-1]).parent.mkdir(exist_ok=True)
            (directory / names[-1]).write_bytes(tar)
        manifest = f'manifest-{name.replace("/", "_")}-{tag}.json' if unique else 'manifest.json'
        entry = {'Config': f'{Digest.of(config).hex}.json', 'Layers': names,
                 'RepoTags': [reference.rpartition('/')[2]]}
        (directory / manifest).write_text(json.dumps([entry], indent=4, sort_keys=True))
        catalog.setdefault(name, {})[tag] = manifest
        (directory / 'catalog.json').write_text(json.dumps(catalog, indent=4, sort_keys=True))


def test_a_directory_of_the_old_version_is_read(tmp_path: Path) -> None:
    as_old_version(tmp_path, {'team/app:v1': 'x'}, unique=False)
    assert str(read(tmp_path).reference) == 'team/app:v1'
    assert tars(read(tmp_path)) == sample_layers('x')


def test_a_directory_where_the_old_version_lists_more_than_there_is_gives_what_there_is(tmp_path: Path) -> None:
    as_old_version(tmp_path, {'team/app:v1': 'x', 'team/app:v2': 'y'}, unique=False)
    assert str(read(tmp_path).reference) == 'app:v2' and tars(read(tmp_path)) == sample_layers('y')


def test_a_directory_of_several_by_the_old_version_is_read_and_added_to(tmp_path: Path) -> None:
    as_old_version(tmp_path, {'team/app:v1': 'x', 'team/app:v2': 'y'}, unique=True)
    write_several(tmp_path, 'team/app:v3', 'team/app:v2')
    assert read_json(tmp_path / 'catalog.json') == {
        'team/app': {tag: f'manifest-team_app-{tag}.json' for tag in ('v1', 'v2', 'v3')}}
    for tag, variant in {'v1': 'x', 'v2': 'team/app:v2', 'v3': 'team/app:v3'}.items():
        assert tars(read(tmp_path, 'team/app', tag)) == sample_layers(variant)


def change(**fields: object) -> Callable[[Path], None]:
    """Changes fields of the only image in manifest.json."""
    def apply(directory: Path) -> None:
        entry = read_json(directory / 'manifest.json')[0]
        (directory / 'manifest.json').write_text(json.dumps([{**entry, **fields}]))
    return apply


def replaced(value: object) -> Callable[[Path], None]:
    def apply(directory: Path) -> None:
        (directory / 'manifest.json').write_text(json.dumps(value))
    return apply


LAYERS = [f'{number:064}/layer.tar' for number in range(3)]


@pytest.mark.parametrize('damage, message', [
    (replaced(None), 'not a list of images'),
    (replaced([]), 'not a list of images'),
    (replaced({'Config': 'x'}), 'not a list of images'),
    (replaced({'schemaVersion': 2}), 'as skopeo writes it to dir:, not a list of images'),
    (replaced([1]), 'an image is not a JSON object'),
    (replaced([{}]), "field 'Config' is missing"),
    (change(RepoTags='app:v1'), "field 'RepoTags' is missing or not a list"),
    (change(RepoTags=[1]), 'not lists of strings'),
    (change(RepoTags=['../x:y']), 'malformed'),
    (change(Layers=LAYERS[:2]), 'the manifest has 2 layers, the config 3 diff_ids'),
    (change(Layers=[*LAYERS, LAYERS[0]]), 'the manifest has 4 layers'),
    (change(Layers=[LAYERS[0], LAYERS[1], LAYERS[1]]), 'one layer file is used for two diff_ids'),
    (change(Layers=['../secret', *LAYERS[1:]]), "the name '../secret' leads out of the directory"),
    (change(Layers=['/etc/passwd', *LAYERS[1:]]), 'leads out of the directory'),
    (change(Layers=['', *LAYERS[1:]]), 'leads out of the directory'),
    (change(Layers=['x/layer.tar', *LAYERS[1:]]), 'layer x/layer.tar cannot be read: No such file'),
    (change(Layers=['0' * 64, *LAYERS[1:]]), 'a directory is in the way'),
    (change(Config='../secret'), 'leads out of the directory'),
    (change(Config='missing.json'), 'config missing.json cannot be read'),
    (change(Config=f'{"0" * 64}/layer.tar'), 'is not valid JSON')])
def test_a_malformed_directory_is_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], Any], message: str,
                                                      ) -> None:
    save(tmp_path / 'x', ['app:v1'], sample_layers(), sample_config())
    (tmp_path / 'secret').write_bytes(sample_layers()[0])
    damage(tmp_path / 'x')
    with pytest.raises(InvalidImage) as raised:
        read(tmp_path / 'x')
    assert message in str(raised.value) and str(tmp_path) in str(raised.value) and '\n' not in str(raised.value)


def link_out(path: Path) -> None:
    path.rename(path.parents[2] / 'secret')
    path.symlink_to('../../secret')


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to('layer.tar')


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('damage', [link_out, link_to_itself, pipe])
def test_a_layer_that_is_no_file_of_the_directory_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save(tmp_path / 'x', ['app:v1'], sample_layers(), sample_config())
    damage(tmp_path / 'x' / LAYERS[0])
    with pytest.raises(InvalidImage):
        read(tmp_path / 'x')


def test_a_layer_that_is_not_its_diff_id_is_found_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path, ['app:v1'], [*sample_layers()[:2], sample_layers('other')[2]], sample_config())
    with pytest.raises(DigestMismatch, match='layer.tar'):
        tars(read(tmp_path))


@pytest.mark.parametrize('in_capitals', [False, True])
def test_a_config_that_is_not_what_its_name_says_is_refused(in_capitals: bool, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / f'{Digest.of(sample_config()).hex}.json'
    if in_capitals:
        manifest = tmp_path / 'manifest.json'
        manifest.write_text(manifest.read_text().replace(path.name, path.name.upper()))
        path = path.rename(tmp_path / path.name.upper())
    path.write_bytes(sample_config().replace(b'hello', b'he110'))
    with pytest.raises(InvalidImage, match='has digest sha256:.*, not the one in its name'):
        read(tmp_path)


@pytest.mark.parametrize('name', ['manifest.json', 'catalog.json'])
def test_a_huge_document_is_not_read_whole(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    os.truncate(tmp_path / name, 1 << 40)
    with pytest.raises(InvalidImage, match='has more than the 16777216 bytes allowed'):
        read(tmp_path)


def test_a_catalog_that_names_a_missing_manifest_is_said(tmp_path: Path) -> None:
    write_several(tmp_path, 'one:v1', 'two:v1')
    (tmp_path / 'manifest-two-v1.json').unlink()
    assert tars(read(tmp_path, 'one')) == sample_layers('one:v1')
    with pytest.raises(InvalidImage, match='manifest-two-v1.json, which the catalog lists for two:v1, is missing'):
        read(tmp_path, 'two')


def test_an_image_is_chosen_by_the_digest_of_its_config(tmp_path: Path) -> None:
    write_several(tmp_path, 'one:v1', 'two:v1')
    config = read_json(tmp_path / 'manifest-two-v1.json')[0]['Config'].removesuffix('.json')
    for name in (config, f'sha256:{config}', config[:12]):
        assert tars(read(tmp_path, name)) == sample_layers('two:v1')
    with pytest.raises(ImageNotFound, match='available: one:v1, two:v1'):
        read(tmp_path, f'sha256:{"0" * 64}')
