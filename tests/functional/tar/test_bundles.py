"""An OCI archive of many images: complete or not there, equal to a layout, read by others, and each image verified."""
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.errors import OutputError
from occystrap_core.oci import INDEX_FILE, Digest, blob_name
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_tar.new_archive.archive_file import ArchiveFile
from occystrap_tar.new_archive.oci_output import OciArchiveOutput
from tests.functional.images import skopeo
from tests.functional.archives import members, rebuild
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.directories import service_directory
from tests.services.requirements import require_program
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, manifest_at, put_artifact, registry_with

NAMES = ['team/app:v1', 'team/app:v2', 'other/tool:v1', 'many:v1']


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry with three images, two of them signed, and an index."""
    with registry_with(tmp_path / 'registry', NAMES) as server:
        signed = document_at(server.host, 'v1', 'team/app').descriptor
        put_artifact(server.host, b'sbom', repository='team/app', subject=signed)
        put_artifact(server.host, b'cosign', f'sha256-{signed.digest.hex}.sig', 'team/app')
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def listed(directory: Path, host: str, names: list[str] = NAMES, option: str = '') -> str:
    """Return a list of these images as a source."""
    (directory / 'list').write_text(''.join(f'registry://{host}/{name}{option}\n' for name in names))
    return f'list://{directory}/list'


def bundle(directory: Path, host: str, *more: str, names: list[str] = NAMES, option: str = '', code: int = 0,
           ) -> CommandResult:
    """Copy images into one archive, out.tar, with receipts."""
    return run('process', *more, '--receipt', directory / 'receipts', listed(directory, host, names, option),
               f'tar://{directory}/out.tar?format=oci', code=code)


def remove_blob(directory: Path, digest: str) -> None:
    """Remove a blob from the registry."""
    for path in (directory / 'registry').rglob(f'*{digest[7:]}*'):
        path.unlink()


def names_in(path: Path) -> list[str]:
    entries = json.loads(members(path)[INDEX_FILE])['manifests']
    return [each['annotations']['org.opencontainers.image.ref.name'].partition('/')[2] for each in entries]


def receipts(directory: Path) -> dict[str, Receipt]:
    """Return the receipts of a run by the names of their images."""
    found = map(Receipt.from_json, (directory / 'receipts').read_bytes().splitlines())
    return {each.reference.partition('/')[2]: each for each in found}


@pytest.mark.parametrize('jobs', ['1', '4'])
@pytest.mark.parametrize('option', ['', '?referrers=true'])
def test_it_is_a_layout_of_the_same_images(option: str, jobs: str, host: str, tmp_path: Path) -> None:
    assert '4/4 verified' in bundle(tmp_path, host, '--verify=full', '-J', jobs, option=option).err
    run('process', '-J', '1', listed(tmp_path, host, option=option), f'layout://{tmp_path}/L')
    there = members(tmp_path / 'out.tar')
    layout = {str(path.relative_to(tmp_path / 'L')): path.read_bytes() for path in (tmp_path / 'L').rglob('*')
              if path.is_file() and '.occystrap' not in str(path)}
    assert {name: content for name, content in there.items() if name in layout} == there
    assert {name for name in layout if name.startswith('blobs/')} == {name for name in there if 'blobs/' in name}
    for name, content in there.items():
        (tmp_path / 'X' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'X' / name).write_bytes(content)
    again = run('process', f'layout://{tmp_path}/X?image=**', f'tar://{tmp_path}/again.tar?format=oci')
    assert '4/4 verified' in again.err


def test_signatures_go_there_and_back(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host, option='?referrers=true')
    with RegistryServer(tmp_path / 'there') as there:
        source = f'tar://{tmp_path}/out.tar?referrers=true'
        back = run('process', source, f'registry://{there.host}/{{repository}}:{{tag}}')
        assert '4/4 verified' in back.err
        subject = document_at(host, 'v1', 'team/app').digest
        for server in (host, there.host):
            sbom, = httpx.get(f'http://{server}/v2/team/app/referrers/{subject}', trust_env=False,
                              verify=False).json()['manifests']
            assert manifest_at(server, sbom['digest'], 'team/app').status_code == 200
        tag = f'sha256-{subject.hex}.sig'
        assert manifest_at(host, tag, 'team/app').content == manifest_at(there.host, tag, 'team/app').content


def test_skopeo_reads_each_image_by_its_name(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    for name in NAMES[:2]:
        skopeo('copy', f'oci-archive:{tmp_path}/out.tar:{host}/{name}', f'dir:{tmp_path}/{name[-2:]}')
        found = json.loads((tmp_path / name[-2:] / 'manifest.json').read_text())
        assert found == json.loads(manifest_at(host, name.partition(':')[2], name.partition(':')[0]).content)
    raw = skopeo('inspect', '--raw', f'oci-archive:{tmp_path}/out.tar:{host}/many:v1')
    assert raw.encode() == manifest_at(host, 'v1').content


def test_podman_pulls_one_by_its_name(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    with service_directory('podman') as directory:
        podman = [require_program('podman', 'podman'), '--root', f'{directory}/data', '--runroot', f'{directory}/run',
                  '--storage-driver', 'vfs']
        pulled = subprocess.run([*podman, 'pull', '-q', f'oci-archive:{tmp_path}/out.tar:{host}/team/app:v2'],
                                capture_output=True, text=True)
    config = json.loads(manifest_at(host, 'v2', 'team/app').content)['config']['digest']
    assert pulled.stdout.strip() == config.removeprefix('sha256:'), pulled.stderr


@pytest.mark.parametrize('jobs', ['1', '4'])
@pytest.mark.parametrize(('lost', 'failed_name'), [('team/app:v2', 'team/app:v2'), ('many:arm64', 'many:v1')])
def test_an_image_that_fails_leaves_nothing_in_it(lost: str, failed_name: str, jobs: str, host: str, tmp_path: Path,
                                                  ) -> None:
    repository, _, tag = lost.partition(':')
    remove_blob(tmp_path, json.loads(manifest_at(host, tag, repository).content)['layers'][-1]['digest'])
    failed = bundle(tmp_path, host, '-J', jobs, '--retries', '0', code=1)
    assert '3/4 verified, 1 FAILED' in failed.err
    left = [name for name in NAMES if name != failed_name]
    assert names_in(tmp_path / 'out.tar') == left and {*receipts(tmp_path)} == {*left}
    expected = {each.locator for receipt in receipts(tmp_path).values() for each in receipt.expectations
                if each.kind != 'entry'}
    assert set(members(tmp_path / 'out.tar')) == {*expected, INDEX_FILE}
    assert sorted(os.listdir(tmp_path)) == ['list', 'out.tar', 'receipts', 'registry']


def fail_tonight(directory: Path, host: str, name: str) -> None:
    """Move a tag to another image, a blob of which the registry lacks."""
    repository, _, tag = name.partition(':')
    push(host, Settings(), sample_image(variant='tonight'), name)
    remove_blob(directory, json.loads(manifest_at(host, tag, repository).content)['layers'][-1]['digest'])


def test_a_failed_image_keeps_its_old_copy_in_the_archive(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host, option='?referrers=true')
    before, archive = members(tmp_path / 'out.tar'), tmp_path / 'out.tar'
    digest = receipts(tmp_path)['team/app:v1'].manifest_digest
    fail_tonight(tmp_path, host, 'team/app:v1')
    failed = bundle(tmp_path, host, '--retries', '0', option='?referrers=true', code=1)
    assert f'note: {host}/team/app:v1 was not copied: {archive} keeps what it had: {digest}\n' in failed.err
    assert members(archive).keys() == before.keys() and '3/4 verified, 1 FAILED' in failed.err
    assert '4/4 verified' in run('verify', '--full', tmp_path / 'receipts', '--at', archive).err


@pytest.mark.parametrize('damage', ['blob', 'manifest'])
def test_damaged_images_are_dropped_from_the_archive(damage: str, host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    content = members(tmp_path / 'out.tar')
    manifest = blob_name(receipts(tmp_path)['team/app:v1'].manifest_digest)
    layer = blob_name(Digest(json.loads(content[manifest])['layers'][-1]['digest']))
    name = layer if damage == 'blob' else manifest
    rebuild(tmp_path / 'out.tar', {**content, name: content[name][:-1] + b'?'})
    fail_tonight(tmp_path, host, 'team/app:v1')
    failed = bundle(tmp_path, host, '--retries', '0', code=1)
    assert f'note: {host}/team/app:v1 is no longer in {tmp_path}/out.tar: ' in failed.err
    assert names_in(tmp_path / 'out.tar') == NAMES[1:]


def test_the_order_is_that_of_the_run(host: str, tmp_path: Path) -> None:
    for names in (NAMES, NAMES[::-1]):
        bundle(tmp_path, host, '-J', '4', names=names)
        assert names_in(tmp_path / 'out.tar') == names


def test_if_all_fail_the_old_one_stays(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    before = (tmp_path / 'out.tar').read_bytes()
    missing = [f'team/none:v{number}' for number in range(3)]
    run('process', '--force', listed(tmp_path, host, missing), f'tar://{tmp_path}/out.tar?format=oci', code=1)
    assert (tmp_path / 'out.tar').read_bytes() == before and not [*tmp_path.glob('.*')]


@pytest.mark.parametrize('kind', ['disk', 'signal'])
def test_images_of_an_archive_that_cannot_be_published_have_failed(kind: str, host: str, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(tmp_path, host, names=NAMES[:1])
    before = (tmp_path / 'out.tar').read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, 'No space left on device')

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt
    if kind == 'disk':
        monkeypatch.setattr(ArchiveFile, 'complete', full)
    else:
        monkeypatch.setattr(OciArchiveOutput, 'publish', interrupted)
    (tmp_path / 'receipts').unlink()
    result = bundle(tmp_path, host, code=1)
    if kind == 'disk':
        assert result.err.count('No space left on device') >= 4 and '4 FAILED' in result.err
    assert not (tmp_path / 'receipts').exists() and (tmp_path / 'out.tar').read_bytes() == before
    assert not [*tmp_path.glob('.*')]


def test_other_images_are_not_replaced_unasked(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    before = (tmp_path / 'out.tar').read_bytes()
    target = f'tar://{tmp_path}/out.tar?format=oci'
    line, = run('process', f'registry://{host}/{NAMES[0]}', target, code=1).errors
    assert 'would be lost' in line and NAMES[1] in line and '--force' in line
    assert (tmp_path / 'out.tar').read_bytes() == before and not [*tmp_path.glob('.*')]
    bundle(tmp_path, host)
    run('process', '--force', f'registry://{host}/{NAMES[0]}', target)
    assert names_in(tmp_path / 'out.tar') == NAMES[:1]
    run('process', f'registry://{host}/{NAMES[1]}', target)
    assert names_in(tmp_path / 'out.tar') == NAMES[1:2]


def test_an_index_is_not_replaced_by_one_of_its_images(host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host)
    failed = bundle(tmp_path, host, '--platform=linux/amd64', '--replace-index', code=0)
    assert '4/4' in failed.err
    bundle(tmp_path, host)
    assert '--replace-index' in bundle(tmp_path, host, '--platform=linux/amd64', code=1).err
    assert names_in(tmp_path / 'out.tar') == NAMES


def test_an_interrupted_run_is_resumed_as_a_whole(host: str, tmp_path: Path) -> None:
    names = [*NAMES, 'later:v1']
    assert '4/5 verified' in bundle(tmp_path, host, names=names, code=1).err
    push(host, Settings(), sample_image('later', variant='later'), 'later:v1')
    for layer in json.loads(manifest_at(host, 'v1', 'team/app').content)['layers']:
        remove_blob(tmp_path, layer['digest'])  # what the archive has is not asked for again
    again = bundle(tmp_path, host, '--resume', str(tmp_path / 'receipts'), names=names)
    assert '5/5 verified' in again.err and 'unchanged' not in again.err
    assert names_in(tmp_path / 'out.tar') == names
    assert '5 unchanged' in bundle(tmp_path, host, '--resume', str(tmp_path / 'receipts'), names=names).err


@pytest.mark.parametrize('option', ['', '?format=oci&tag=app:v1'])
def test_an_archive_of_one_takes_no_more(option: str, host: str, tmp_path: Path) -> None:
    source = listed(tmp_path, host, NAMES[:2])
    line, = run('process', source, f'tar://{tmp_path}/out.tar{option}', code=2).errors
    assert 'cannot take several images' in line and 'format=oci' in line


Damage = Callable[[bytes], bytes | None]
DAMAGES: dict[str, Damage] = {
    'missing': lambda content: None, 'truncated': lambda content: content[:-1], 'empty': lambda content: b'',
    'flipped': lambda content: content[:-1] + bytes([content[-1] ^ 1])}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_is_that_of_its_image_and_named(damage: str, host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host, names=NAMES[:2])
    whole, path = members(tmp_path / 'out.tar'), tmp_path / 'out.tar'
    rebuild(path, dict(whole))
    assert '2/2 verified' in run('verify', tmp_path / 'receipts').err
    first, second = (receipts(tmp_path)[name] for name in NAMES[:2])
    own = {each.locator for each in first.expectations} - {each.locator for each in second.expectations}
    for name in own & whole.keys():
        rebuild(path, {**whole, name: DAMAGES[damage](whole[name])})
        result = run('verify', '--verify=full', '-O', 'json', tmp_path / 'receipts', code=1)
        outcomes = {each['reference'].partition('/')[2]: each for each in result.json()['images']}
        assert outcomes[NAMES[0]]['outcome'] == 'failed' and outcomes[NAMES[1]]['outcome'] == 'verified', name
        assert any(name in each['item'] for each in outcomes[NAMES[0]]['findings'])


def edited(index: bytes, change: Callable[[list[dict[str, object]]], None]) -> bytes:
    document = json.loads(index)
    change(document['manifests'])
    return json.dumps(document, separators=(',', ':')).encode()


@pytest.mark.parametrize(('change', 'failed'), {
    'gone': (lambda entries: entries.pop(0), [NAMES[0]]),
    'swapped digests': (lambda entries: entries[0].update(digest=entries[1]['digest']), [NAMES[0]]),
    'twice': (lambda entries: entries.append(dict(entries[0])), NAMES[:2]),
    'a rival': (lambda entries: entries.append({**entries[1], 'annotations': entries[0]['annotations']}), NAMES[:2]),
}.values())
def test_an_edited_list_is_seen(change: Callable[..., None], failed: list[str], host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host, names=NAMES[:2])
    whole, path = members(tmp_path / 'out.tar'), tmp_path / 'out.tar'
    rebuild(path, {**whole, INDEX_FILE: edited(whole[INDEX_FILE], change)})
    found = run('verify', '-O', 'json', tmp_path / 'receipts', code=1).json()['images']
    assert {each['reference'].partition('/')[2] for each in found if each['outcome'] == 'failed'} >= {*failed}
    rebuild(path, {**whole, INDEX_FILE: whole[INDEX_FILE].replace(b',', b', ', 1)})
    assert '2 FAILED' in run('verify', tmp_path / 'receipts', code=1).err


@pytest.mark.parametrize('name', ['extra', blob_name(Digest.of(b'extra')), 'manifest.json'])
def test_a_member_that_no_image_has_is_seen(name: str, host: str, tmp_path: Path) -> None:
    bundle(tmp_path, host, names=NAMES[:2])
    rebuild(tmp_path / 'out.tar', {**members(tmp_path / 'out.tar'), name: b'extra'})
    result = run('verify', tmp_path / 'receipts', code=1)
    assert '2 FAILED' in result.err and name in result.out + result.err


def test_a_filter_that_reports_says_nothing_of_what_was_not_published(host: str, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OutputError('it cannot be published')
    monkeypatch.setattr(OciArchiveOutput, 'publish', refuse)
    bundle(tmp_path, host, '-f', f'inspect:file={tmp_path}/report', names=NAMES[:2], code=1)
    assert not (tmp_path / 'report').exists() or not (tmp_path / 'report').read_bytes()
