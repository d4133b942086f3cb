"""Receipts carried elsewhere: what lies beside them, at another place, and the digest that proves the receipts."""
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push
from tests.unit.registry.several import registry_with

NAMES = ['team/app:v1', 'other/tool:v2']
PLACES = {'layout': 'layout://{}/out', 'dir': 'dir://{}/out?unique_names=true', 'mounts': 'mounts://{}/out'}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry_with(tmp_path / 'registry', NAMES) as server:
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def copied(host: str, destination: str, path: Path) -> Path:
    """Copy both images and return the file of receipts."""
    (path / 'list').write_text(''.join(f'registry://{host}/{name}\n' for name in NAMES))
    path.joinpath('site').mkdir(exist_ok=True)
    receipts = path / 'site/receipts'
    run('process', f'list://{path}/list', destination, '--receipt', receipts)
    return receipts


@pytest.mark.parametrize('kind', PLACES)
@pytest.mark.parametrize('level', ['fast', 'full'])
def test_receipts_carried_with_the_images(kind: str, level: str, host: str, tmp_path: Path) -> None:
    receipts = copied(host, PLACES[kind].format(tmp_path / 'site'), tmp_path)
    (tmp_path / 'site').rename(tmp_path / 'usb')
    result = run('verify', f'--verify={level}', tmp_path / 'usb/receipts')
    assert '2/2 verified' in result.err and 'not checked' not in result.err
    (tmp_path / 'usb/out').rename(tmp_path / 'elsewhere')
    assert '2/2 verified' in run('verify', tmp_path / 'usb/receipts', '--at', f'{kind}://{tmp_path}/elsewhere').err
    shutil.rmtree(tmp_path / 'elsewhere')
    run('verify', tmp_path / 'usb/receipts', '--at', f'{kind}://{tmp_path}/elsewhere', code=1)
    run('verify', receipts.name, code=2)


def test_damage_at_the_other_place_is_found(host: str, tmp_path: Path) -> None:
    receipts = copied(host, f'layout://{tmp_path}/site/out', tmp_path)
    (tmp_path / 'site/out').rename(tmp_path / 'usb')
    blob = max((tmp_path / 'usb/blobs/sha256').iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    result = run('verify', '--full', receipts, '--at', f'layout://{tmp_path}/usb', code=1)
    assert blob.name[:12] in result.err


@pytest.mark.parametrize(('at', 'good'), [
    ('{}/mirror/{{repository}}', True), ('{}/mirror/{{repository}}:{{tag}}', True),
    ('{}/mirror/{{repository}}:other', False), ('{}/{{repository}}', False)])
def test_another_registry(at: str, good: bool, host: str, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'other') as other:
        receipts = copied(host, f'registry://{host}/copy/{{repository}}:{{tag}}', tmp_path)
        (tmp_path / 'names').write_text(''.join(f'registry://{host}/copy/{name}\n' for name in NAMES))
        for name in NAMES:
            run('process', f'registry://{host}/copy/{name}', f'registry://{other.host}/mirror/copy/{name}')
        result = run('verify', '--full', receipts, '--at', f'registry://{at.format(other.host)}', code=0 if good else 1)
        assert ('2/2 verified' in result.err) == good
        lost = run('verify', receipts, '--at', f'registry://{other.host}/mirror', code=1)
        assert (f'note: 2 images of 2 repositories are looked for in one place, registry://{other.host}/mirror: add '
                '{repository}') in lost.err
        checked, = (line for line in result.err.splitlines() if line.startswith('Checked: '))
        assert checked.count('(written to ') == 1


def test_the_digest_proves_the_receipts(host: str, tmp_path: Path) -> None:
    """Another image, swapped in together with a receipt of its own, is not what the digest on paper says."""
    receipts = copied(host, f'layout://{tmp_path}/site/out', tmp_path)
    source, place = f'list://{tmp_path}/list', f'layout://{tmp_path}/site/out'
    again = run('process', source, place, '--receipt', receipts, '-O', 'json')
    found = again.json()['receipts']
    assert found['path'] == str(receipts) and f'Receipts: {receipts}, {found["digest"]}' in again.err.splitlines()[-2]
    for digest in (found['digest'], found['digest'].removeprefix('sha256:')):
        assert '2/2 verified' in run('verify', receipts, '--expect', digest).err
    run('process', f'registry://{host}/other/tool:v2', f'layout://{tmp_path}/site/out:v1', '--receipt', receipts)
    run('verify', receipts)
    result = run('verify', receipts, '--expect', found['digest'], code=1)
    assert 'it is not the file that was written' in result.err and len(result.errors) == 1


def test_one_file_for_receipts_and_for_resuming(host: str, tmp_path: Path) -> None:
    file, place = tmp_path / 'done', f'layout://{tmp_path}/out'
    (tmp_path / 'list').write_text(''.join(f'registry://{host}/{name}\n' for name in NAMES))
    first = run('process', f'list://{tmp_path}/list', place, '--receipt', file, '--resume', file)
    assert ' unchanged' not in first.err
    assert '2 unchanged' in run('process', f'list://{tmp_path}/list', place, '--receipt', file, '--resume', file).err
    assert len(file.read_text().splitlines()) == 2
    shutil.rmtree(next(each for each in (tmp_path / 'registry').rglob('tool') if each.is_dir()))
    tonight = run('process', f'list://{tmp_path}/list', place, '--receipt', file, '--resume', file, code=1)
    assert '1/2 verified, 1 FAILED' in tonight.err and len(file.read_text().splitlines()) == 2
    assert '2/2 verified' in run('verify', '--full', file).err  # also what failed tonight, as it was last night
    assert 'cannot read the receipt' in run('process', f'list://{tmp_path}/list', place, '--resume', tmp_path / 'no',
                                            code=2).err


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--expect', 'abc'], 'is not a sha256 digest'), (['--expect', 'sha1:abc'], 'is not a sha256 digest'),
    (['--at', 'mounts:///x'], 'mounts:// keeps neither blobs nor tars of layers: give --at=layout://'),
    (['--at', 'nowhere'], 'is not a destination'),
    (['--at', 'layout:///x/{colour}'], 'there is no field {colour}')])
def test_mistakes(arguments: list[str], words: str, host: str, tmp_path: Path) -> None:
    receipts = copied(host, f'layout://{tmp_path}/site/out', tmp_path)
    result = run('verify', receipts, *arguments, code=2)
    assert words in result.err and len(result.errors) == 1


@pytest.mark.parametrize('option', ['--at', '--expect'])
def test_a_destination_needs_neither(option: str, tmp_path: Path) -> None:
    result = run('verify', f'layout://{tmp_path}', option, 'layout:///x', code=2)
    assert f'{option} is for a file of receipts' in result.err


def test_the_place_that_was_checked_is_named(host: str, tmp_path: Path) -> None:
    """Another directory of that name beside the file is another place, whatever it holds."""
    receipts = copied(host, f'layout://{tmp_path}/site/out', tmp_path)
    assert f'Checked: layout://{tmp_path}/site/out\n' in run('verify', receipts).err
    shutil.copytree(tmp_path / 'site', tmp_path / 'usb')
    expected = f'layout://{tmp_path}/usb/out (written to layout://{tmp_path}/site/out)'
    assert f'Checked: {expected}\n' in run('verify', tmp_path / 'usb/receipts').err
    beside = run('verify', tmp_path / 'usb/receipts').err
    assert f'note: not checked, though it is there: layout://{tmp_path}/site/out, where the receipts say' in beside
    assert 'not checked' not in run('verify', receipts).err
    verified = run('verify', '-O', 'json', receipts, '--at', f'layout://{tmp_path}/usb/out').json()['images']
    assert {(each['destination'], each['written_to']) for each in verified} == {
        (f'layout://{tmp_path}/usb/out', f'layout://{tmp_path}/site/out')}


SPEC_NAME, CONTAINERD_NAME = 'org.opencontainers.image.ref.name', 'io.containerd.image.name'
ALIKE: dict[str, Callable[[str], dict[str, str]]] = {
    'another host': lambda name: {SPEC_NAME: f'mirror.example:5000/{name}'},
    'no host': lambda name: {SPEC_NAME: name},
    'a tag alone': lambda name: {SPEC_NAME: name.partition(':')[2]},
    'as docker saves': lambda name: {SPEC_NAME: name.partition(':')[2], CONTAINERD_NAME: f'docker.io/{name}'},
    'no name': lambda name: {},
}
OTHERS: dict[str, Callable[[str], dict[str, str]]] = {
    'another tag': lambda name: {SPEC_NAME: name.replace(':v', ':v1')},
    'another repository': lambda name: {SPEC_NAME: f'x{name}'},
    'another tag alone': lambda name: {SPEC_NAME: 'v3'},
    'another name that readers prefer': lambda name: {SPEC_NAME: name, CONTAINERD_NAME: f'docker.io/{name}0'},
}


def renamed(host: str, tmp_path: Path, names: Callable[[str], dict[str, str]]) -> Path:
    """Copy both images into a registry, with receipts, and into a layout, whose names are changed."""
    receipts = copied(host, f'registry://{host}/copy/{{repository}}:{{tag}}', tmp_path)
    run('process', f'list://{tmp_path}/list', f'layout://{tmp_path}/usb')
    index = json.loads((tmp_path / 'usb/index.json').read_bytes())
    for entry in index['manifests']:
        name = entry.pop('annotations')[SPEC_NAME].partition('/')[2]
        entry['annotations'] = names(name)
    (tmp_path / 'usb/index.json').write_text(json.dumps(index))
    return receipts


@pytest.mark.parametrize('names', ALIKE)
def test_names_that_other_programs_give_are_good(names: str, host: str, tmp_path: Path) -> None:
    receipts = renamed(host, tmp_path, ALIKE[names])
    assert '2/2 verified' in run('verify', '--full', receipts, '--at', f'layout://{tmp_path}/usb').err


@pytest.mark.parametrize('names', OTHERS)
def test_an_image_under_another_name_is_not_proved(names: str, host: str, tmp_path: Path) -> None:
    """It would be copied under that name: an old version as the new one."""
    receipts = renamed(host, tmp_path, OTHERS[names])
    result = run('verify', '--full', receipts, '--at', f'layout://{tmp_path}/usb', code=1)
    assert '0/2 verified' in result.err and 'is in index.json under another name, ' in result.err
    assert max(OTHERS[names](NAMES[0]).values(), key=len) in result.err


def test_names_that_were_exchanged(host: str, tmp_path: Path) -> None:
    other = {NAMES[0]: NAMES[1], NAMES[1]: NAMES[0]}
    receipts = renamed(host, tmp_path, lambda name: {SPEC_NAME: f'{host}/{other[name]}'})
    result = run('verify', receipts, '--at', f'layout://{tmp_path}/usb', code=1)
    assert '0/2 verified' in result.err and result.err.count('is in index.json as sha256:') >= 2


def test_another_name_may_be_meant(host: str, tmp_path: Path) -> None:
    (tmp_path / 'one').mkdir()
    run('process', f'registry://{host}/{NAMES[0]}', f'registry://{host}/copy/app:v1', '--receipt', tmp_path / 'receipt')
    run('process', f'registry://{host}/{NAMES[0]}', f'layout://{tmp_path}/usb:other')
    assert 'under another name, other: ' in run('verify', tmp_path / 'receipt', '--at', f'layout://{tmp_path}/usb',
                                                code=1).err
    run('verify', tmp_path / 'receipt', '--at', f'layout://{tmp_path}/usb:other')
    run('verify', tmp_path / 'receipt', '--at', f'layout://{tmp_path}/usb:elsewhere', code=1)


WHOLE = {'layout': 'layout://{}', 'tar': 'tar://{}?format=oci', 'dir': 'dir://{}?unique_names=true'}


@pytest.mark.parametrize(('of', 'kind', 'level'), [
    ('layout', 'layout', 'fast'), ('tar', 'tar', 'full'), ('dir', 'dir', 'fast'), ('layout', 'tar', 'fast'),
    ('tar', 'layout', 'full'), ('registry', 'tar', 'fast'), ('layout', 'dir', 'full')])
def test_an_image_that_was_added_is_not_proved(of: str, kind: str, level: str, host: str, tmp_path: Path) -> None:
    """The next command would copy it with the others: a place that is carried is checked as a whole."""
    written = {**WHOLE, 'registry': f'registry://{host}/copy/{{repository}}:{{tag}}'}
    place = written[of].format(tmp_path / 'site/out') if of in WHOLE else written[of]
    receipts = copied(host, place, tmp_path)
    at = WHOLE[kind].format(tmp_path / 'usb')
    run('process', f'list://{tmp_path}/list', at)
    verify = ('verify', f'--verify={level}', receipts, '--at', at)
    assert '2/2 verified' in run(*verify).err
    push(host, Settings(), sample_image('team/app:v2', variant='evil'), 'team/app:v2')
    for name, source in (('team/app:v2', 'team/app:v2'), ('team/app:latest', NAMES[0])):
        if source == NAMES[0]:  # the name alone is new
            push(host, Settings(), sample_image(NAMES[0], variant=NAMES[0]), name)
        (tmp_path / 'more').write_text((tmp_path / 'list').read_text() + f'registry://{host}/{name}\n')
        run('process', f'list://{tmp_path}/more', at, '--force')
        result = run(*verify, code=1)
        assert f'{name}: is there without a receipt' in result.err
        assert '2/3 verified, 1 UNVERIFIED' in result.err
        found = run(*verify, '-O', 'json', code=1).json()['images']
        assert [each['outcome'] for each in found] == ['verified', 'verified', 'unverified']
        for path in tmp_path.glob('usb*'):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_other_images_at_the_first_destination_need_no_receipt(host: str, tmp_path: Path) -> None:
    """A layout may have images of other runs; but not if the receipts are said to be all, or it was carried."""
    receipts = copied(host, f'layout://{tmp_path}/site/out', tmp_path)
    digest = run('process', f'list://{tmp_path}/list', f'layout://{tmp_path}/site/out', '--receipt', receipts, '-O',
                 'json').json()['receipts']['digest']
    run('process', f'registry://{host}/{NAMES[0]}', f'layout://{tmp_path}/site/out:mine')
    assert '2/2 verified' in run('verify', receipts).err
    assert 'mine: is there without a receipt' in run('verify', receipts, '--expect', digest, code=1).err
    (tmp_path / 'site').rename(tmp_path / 'usb')
    assert 'mine: is there without a receipt' in run('verify', tmp_path / 'usb/receipts', code=1).err
    one = tmp_path / 'one'
    one.write_text(next(line for line in (tmp_path / 'usb/receipts').read_text().splitlines() if NAMES[0] in line))
    run('verify', one, '--at', f'layout://{tmp_path}/usb/out:mine')  # that one alone
