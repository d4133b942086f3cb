"""Receipts of docker archives and directories prove each other's images, and stored ones prove both, by diff_ids."""
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from occystrap_core import Receipt, Settings
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import members, rebuild, write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push

NAME = 'team/app:v1'
PLACES = {'tar': 'tar://{}/app.tar', 'dir': 'dir://{}/app?unique_names=true', 'layout': 'layout://{}/layout'}


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


@pytest.fixture(scope='module')
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One image at three places, each with its receipt."""
    directory = tmp_path_factory.mktemp('copies')
    with RegistryServer(directory / 'registry') as server:
        push(server.host, Settings(), sample_image(NAME), NAME)
        for kind, place in PLACES.items():
            run('process', f'registry://{server.host}/{NAME}', place.format(directory), '--receipt',
                directory / f'{kind}.receipt')
        yield directory


@pytest.fixture
def copy(copies: Path, tmp_path: Path) -> Path:
    """The same files, which may be damaged."""
    for name in ('app.tar', 'app'):
        source = copies / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def layer_at(directory: Path, kind: str, change: Callable[[bytes], bytes | None]) -> str:
    """Change the upper layer of the image at a place; None removes it. Returns its digest."""
    receipt = Receipt.from_json((directory / f'{kind}.receipt').read_bytes())
    return change_file(directory, kind, f'{receipt.diff_ids[-1].hex}/layer.tar', change)


def change_file(directory: Path, kind: str, name: str, change: Callable[[bytes], bytes | None]) -> str:
    if kind == 'tar':
        content: dict[str, bytes | None] = {**members(directory / 'app.tar')}
        old = content[name]
        assert old is not None
        content[name] = change(old)
        rebuild(directory / 'app.tar', content)
    else:
        path = directory / 'app' / name
        if (changed := change(path.read_bytes())) is None:
            path.unlink()
        else:
            path.write_bytes(changed)
    return name.partition('/')[0]


@pytest.mark.parametrize('place', ['tar', 'dir'])
@pytest.mark.parametrize('of', PLACES)
def test_every_receipt_is_good_at_both(of: str, place: str, copies: Path) -> None:
    for level in ('fast', 'full'):
        result = run('verify', '-O', 'json', f'--verify={level}', copies / f'{of}.receipt', '--at',
                     PLACES[place].format(copies))
        image, = result.json()['images']
        assert image['outcome'] == 'verified'
        kinds = [each['kind'] for each in image['expectations']]
        assert kinds.count('layer') == 3 and kinds.count('config') == 1


@pytest.mark.parametrize(('of', 'place', 'by_fast'), [
    ('tar', 'dir', False), ('dir', 'tar', False), ('layout', 'tar', True), ('layout', 'dir', True)])
def test_a_flipped_byte_of_a_layer(of: str, by_fast: bool, place: str, copies: Path, copy: Path) -> None:
    """A receipt of blobs does not know the sizes of tars, so that each is hashed whatever the level."""
    shutil.copy(copies / f'{place}.receipt', copy)
    layer = layer_at(copy, place, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    arguments = ('verify', copies / f'{of}.receipt', '--at', PLACES[place].format(copy))
    assert (run_here(*arguments).code == 1) == by_fast
    result = run(*arguments, '--full', code=1)
    assert layer in result.err and 'digest is sha256:' in result.err


@pytest.mark.parametrize('place', ['tar', 'dir'])
def test_missing_and_different_images_are_found(place: str, copies: Path, copy: Path) -> None:
    shutil.copy(copies / f'{place}.receipt', copy)
    at = PLACES[place].format(copy)
    layer = layer_at(copy, place, lambda raw: raw + bytes(512))
    other = 'dir' if place == 'tar' else 'tar'
    assert 'size in bytes is' in run('verify', copies / f'{other}.receipt', '--at', at, code=1).err
    layer_at(copy, place, lambda raw: None)
    assert layer in run('verify', copies / f'{other}.receipt', '--at', at, code=1).err
    run('process', f'tar://{copies}/app.tar', at, '-f', 'normalize-timestamps', '--force')
    result = run('verify', copies / f'{other}.receipt', '--at', at, code=1)
    assert f'tag {_name(copies)}: digest is sha256:' in result.err
    shutil.rmtree(copy / 'app')
    (copy / 'app.tar').unlink()
    assert 'there is no such directory' in run('verify', copies / 'tar.receipt', '--at', PLACES['dir'].format(copy),
                                               code=1).err
    assert 'does not exist' in run('verify', copies / 'dir.receipt', '--at', PLACES['tar'].format(copy), code=1).err


@pytest.mark.parametrize('place', ['tar', 'dir'])
def test_another_name_is_missing_and_the_names_there_are_told(place: str, copies: Path, copy: Path) -> None:
    run('process', f'tar://{copies}/app.tar', f'{PLACES["tar"].format(copy)}?tag=other:v2', '--force')
    (copy / 'app').rename(copy / 'old')
    run('process', f'tar://{copy}/app.tar', PLACES['dir'].format(copy))
    result = run('verify', copies / 'layout.receipt', '--at', PLACES[place].format(copy), code=1)
    assert 'does not list it; available: other:v2' in result.err


def test_an_archive_of_another_program(copies: Path, tmp_path: Path) -> None:
    """Its layers have names of its own: what counts is which file stands for which layer."""
    layers = sample_layers()
    write_docker_archive(tmp_path / 'app.tar', sample_config(layers), layers, _name(copies))
    for of in ('dir', 'layout'):
        run('verify', '--full', copies / f'{of}.receipt', '--at', f'tar://{tmp_path}/app.tar?format=docker')
    content = members(tmp_path / 'app.tar')
    manifest = json.loads(content['manifest.json'])
    manifest[0]['Layers'] = manifest[0]['Layers'][::-1]
    rebuild(tmp_path / 'app.tar', {**content, 'manifest.json': json.dumps(manifest).encode()})
    result = run('verify', '--full', copies / 'layout.receipt', '--at', f'tar://{tmp_path}/app.tar', code=1)
    assert result.err.count('digest is sha256:') == 2
    manifest[0]['Layers'] = manifest[0]['Layers'][:2]
    rebuild(tmp_path / 'app.tar', {**content, 'manifest.json': json.dumps(manifest).encode()})
    assert 'lists 2 layers' in run('verify', copies / 'layout.receipt', '--at', f'tar://{tmp_path}/app.tar', code=1).err


def saved(directory: Path, *entries: dict[str, object], packed: Callable[[bytes], bytes] = bytes) -> Path:
    """Write a docker archive of the sample image and another, listed so; and a directory `saved` of the same files."""
    content: dict[str, bytes] = {}
    for variant in ('', 'another'):
        layers = sample_layers(variant)
        content |= {f'config{variant}.json': sample_config(layers),
                    **{f'{number}{variant}.tar': packed(layer) for number, layer in enumerate(layers)}}
    content['manifest.json'] = json.dumps(entries).encode()
    rebuild(directory / 'saved.tar', content)
    shutil.rmtree(directory / 'saved', ignore_errors=True)
    (directory / 'saved').mkdir()
    for name, data in content.items():
        (directory / 'saved' / name).write_bytes(data)
    return directory / 'saved.tar'


def listed(name: str, variant: str = '') -> dict[str, object]:
    return {'Config': f'config{variant}.json', 'RepoTags': [name], 'Layers': [f'{n}{variant}.tar' for n in range(3)]}


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    """A receipt of app:v1, the sample image, for a layout."""
    saved(tmp_path, listed('app:v1'))
    run('process', f'tar://{tmp_path}/saved.tar', f'layout://{tmp_path}/layout', '--receipt', tmp_path / 'receipt')
    return tmp_path / 'receipt'


@pytest.mark.parametrize('place', ['tar://{}/saved.tar', 'dir://{}/saved'])
@pytest.mark.parametrize(('first', 'second'), [
    ('app:v1', 'app:v1'), ('app:v1', 'docker.io/library/app:v1'), ('index.docker.io/library/app:v1', 'app:v1')])
def test_a_name_of_two_images_proves_neither(first: str, second: str, place: str, receipt: Path, tmp_path: Path,
                                             ) -> None:
    """`docker load` gives it to the last."""
    at = ('verify', '--full', receipt, '--at', place.format(tmp_path))
    for entries in ((listed(first), listed(second, 'another')), (listed(first, 'another'), listed(second))):
        saved(tmp_path, *entries)
        assert 'lists this name for several images' in run(*at, code=1).err
    same = listed(first), listed(second)
    saved(tmp_path, *same)
    assert 'lists this name' not in run_here(*at).err


@pytest.mark.parametrize('place', ['tar://{}/saved.tar', 'dir://{}/saved'])
@pytest.mark.parametrize('level', ['fast', 'full'])
@pytest.mark.parametrize('compress', [gzip.compress, zstandard.compress])
def test_compressed_layers_are_compared_as_they_are_read(compress: Callable[[bytes], bytes], level: str, place: str,
                                                         receipt: Path, tmp_path: Path) -> None:
    """Docker writes them so from a containerd store."""
    at = ('verify', f'--verify={level}', receipt, '--at', place.format(tmp_path))
    saved(tmp_path, listed('app:v1'), packed=compress)
    run(*at)
    layers = sample_layers()
    saved(tmp_path, listed('app:v1'), packed=lambda tar: compress(tar[:-1] + b'x' if tar == layers[1] else tar))
    assert str(Digest.of(layers[1])) in run(*at, code=1).err
    saved(tmp_path, listed('app:v1'), packed=lambda tar: compress(tar)[:-9])
    assert 'cannot be decompressed' in run(*at, code=1).err


@pytest.mark.parametrize('place', ['tar://{}/saved.tar', 'dir://{}/saved'])
def test_a_compressed_layer_is_inflated_no_further_than_it_may_be(place: str, tmp_path: Path) -> None:
    """A receipt of tars knows their sizes."""
    source = saved(tmp_path, listed('app:v1'))
    run('process', f'tar://{source}', f'dir://{tmp_path}/copy', '--receipt', tmp_path / 'receipt')
    run('process', f'tar://{source}', f'tar://{tmp_path}/copy.tar', '--receipt', tmp_path / 'of-tar')
    saved(tmp_path, listed('app:v1'), packed=lambda tar: gzip.compress(tar + bytes(16 << 20), 1))
    other = 'receipt' if place.startswith('tar') else 'of-tar'
    result = run('verify', tmp_path / other, '--at', place.format(tmp_path), code=1)
    assert 'has more than the expected' in result.err and '0/1 verified' in result.err


def test_a_directory_of_another_program(copies: Path, tmp_path: Path) -> None:
    layers = sample_layers()
    archive = write_docker_archive(tmp_path / 'app.tar', sample_config(layers), layers, _name(copies))
    (tmp_path / 'app').mkdir()
    for name, content in members(archive).items():
        (tmp_path / 'app' / name).write_bytes(content)
    run('verify', '--full', copies / 'tar.receipt', '--at', f'dir://{tmp_path}/app')
    (tmp_path / 'app' / f'{Digest.of(layers[0]).hex}.tar').write_bytes(layers[1])
    result = run('verify', '--full', copies / 'layout.receipt', '--at', f'dir://{tmp_path}/app', code=1)
    assert str(Digest.of(layers[0])) in result.err


def _name(copies: Path) -> str:
    return Receipt.from_json((copies / 'tar.receipt').read_bytes()).reference
