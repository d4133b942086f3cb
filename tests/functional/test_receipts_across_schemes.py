"""A receipt is checked wherever its manifests and blobs are kept: digests, not places, are the identity."""
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from occystrap_core import Receipt
from occystrap_core.oci import LAYOUT_FILE
from occystrap_core.verification.receipt import seal
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import members, rebuild
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.several import document_at, push_all, put_artifact

NAMES = ['team/app:v1', 'team/app:v2', 'many:v1']


class Mirrors(NamedTuple):
    """The same images at three places, each with the receipts of its own copy; two have referrers of both kinds."""

    directory: Path
    host: str

    def receipts(self, kind: str) -> Path:
        return self.directory / f'{kind}.receipts'

    def at(self, kind: str, of: str = '') -> str:
        """Return a place, for receipts of a kind: those of the registry have its prefix in their names."""
        root = self.directory
        return {'layout': f'layout://{root}/layout', 'tar': f'tar://{root}/bundle.tar?format=oci',
                'registry': f'registry://{self.host}/{"" if of == "registry" else "mirror/"}{{repository}}'}[kind]


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def push_signed(host: str) -> None:
    push_all(host, NAMES)
    signed = document_at(host, 'v1', 'team/app').descriptor
    put_artifact(host, b'sbom', repository='team/app', subject=signed)
    put_artifact(host, b'another', repository='team/app', subject=signed)
    put_artifact(host, b'cosign', f'sha256-{signed.digest.hex}.sig', 'team/app')


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrors]:
    directory = tmp_path_factory.mktemp('mirrors')
    with RegistryServer(directory / 'registry') as server:
        mirrors = Mirrors(directory, server.host)
        push_signed(server.host)
        (directory / 'list').write_text(''.join(f'registry://{server.host}/{name}?referrers=true\n' for name in NAMES))
        for kind in ('layout', 'tar', 'registry'):
            place = mirrors.at(kind) + (':{tag}' if kind == 'registry' else '')
            run('process', f'list://{directory}/list', place, '--receipt', mirrors.receipts(kind))
        yield mirrors


@pytest.fixture
def mirrors(whole: Mirrors, tmp_path: Path) -> Mirrors:
    """The same, with files of its own, which may be damaged."""
    shutil.copytree(whole.directory, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns('registry'))
    return Mirrors(tmp_path, whole.host)


@pytest.mark.parametrize('kind', ['layout', 'tar', 'registry'])
@pytest.mark.parametrize('place', ['layout', 'tar', 'registry'])
def test_every_receipt_is_good_at_every_place(kind: str, place: str, whole: Mirrors) -> None:
    for level in ('fast', 'full'):
        result = run('verify', f'--verify={level}', '-O', 'json', whole.receipts(kind), '--at',
                     whole.at(place, of=kind))
        report = result.json()
        assert [*outcomes(result).values()] == ['verified'] * 3
        for image, before in zip(report['images'], whole.receipts(kind).read_text().splitlines(), strict=True):
            looked = {(each['kind'], each['digest']) for each in image['expectations']}
            kept = {(each['kind'], each['digest']) for each in json.loads(before)['expectations']
                    if each['kind'] in ('index', 'manifest', 'config', 'layer')}
            assert kept <= looked and all(each['outcome'] == 'verified' for each in image['expectations'])


@pytest.mark.parametrize('place', ['layout', 'tar'])
def test_a_name_that_means_another_image_is_found(place: str, mirrors: Mirrors) -> None:
    """Two images change their names, each with all its blobs: only the names tell."""
    first, second = (f'{mirrors.host}/{name}' for name in NAMES[:2])

    def swapped(raw: bytes) -> bytes:
        return raw.replace(first.encode(), b'*').replace(second.encode(), first.encode()).replace(b'*', second.encode())
    change(mirrors, place, 'index.json', swapped)
    for receipts in ('layout', 'tar'):
        result = run('verify', '-O', 'json', mirrors.receipts(receipts), '--at', mirrors.at(place), code=1)
        assert [outcomes(result)[name] for name in NAMES] == ['failed', 'failed', 'verified']


@pytest.mark.parametrize('place', ['layout', 'tar'])
@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('/team/app:v1"', '/team/app:v1x"', 'is in index.json under another name, '),
    ('sha256-', 'sha255-', 'is not listed in index.json'),
    ('manifest.v1+json', 'index.v1+json', 'image.index.v1+json'),
])
def test_an_edited_list(place: str, old: str, new: str, words: str, mirrors: Mirrors) -> None:
    change(mirrors, place, 'index.json', lambda raw: raw.replace(old.encode(), new.encode(), 1))
    result = run('verify', mirrors.receipts('registry'), '--at', mirrors.at(place), code=1)
    assert words in result.err


@pytest.mark.parametrize('place', ['layout', 'tar'])
def test_a_removed_and_a_damaged_blob(place: str, mirrors: Mirrors) -> None:
    layer = receipt_of(mirrors, 'registry', NAMES[1]).of_kind('layer')[-1].digest
    arguments = ('verify', mirrors.receipts('registry'), '--at', mirrors.at(place))
    change(mirrors, place, f'blobs/sha256/{layer[7:]}', lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    run(*arguments)
    result = run(*arguments, '--full', code=1)
    assert layer[7:] in result.err and '2/3 verified, 1 FAILED' in result.err
    change(mirrors, place, f'blobs/sha256/{layer[7:]}', lambda raw: None)
    assert layer[7:] in run(*arguments, code=1).err


def test_a_registry_that_lacks_a_tag_or_a_referrer(whole: Mirrors, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'other') as other:
        at = f'registry://{other.host}/{{repository}}'
        for name in NAMES:
            run('process', f'registry://{whole.host}/{name}', f'registry://{other.host}/{name}')
        result = run('verify', whole.receipts('tar'), '--at', at, code=1)
        assert '2/3 verified, 1 FAILED' in result.err and '.sig' in result.err
        run('process', f'registry://{whole.host}/team/app:v1?referrers=true', f'registry://{other.host}/team/app:v1')
        run('verify', '--full', whole.receipts('tar'), '--at', at)
        run('process', f'registry://{whole.host}/team/app:v1', f'registry://{other.host}/team/app:v2')
        assert '2/3 verified, 1 FAILED' in run('verify', whole.receipts('layout'), '--at', at, code=1).err
        assert httpx.get(f'http://{other.host}/v2/', trust_env=False).status_code == 200


def test_a_name_may_be_given(mirrors: Mirrors) -> None:
    run('process', f'registry://{mirrors.host}/team/app:v2', f'layout://{mirrors.directory}/named:stable')
    (mirrors.directory / 'one').write_text(f'{receipt_of(mirrors, "tar", NAMES[1]).to_json()}\n')
    for at, code in (('named', 1), ('named:stable', 0), ('named:{tag}', 1),
                     ('named?tag={tag}', 1), ('layout?tag={host}/{repository}:{tag}', 0), ('layout:stable', 1)):
        run('verify', mirrors.directory / 'one', '--at', f'layout://{mirrors.directory}/{at}', code=code)


def test_an_archive_of_another_program(mirrors: Mirrors) -> None:
    """Another order, and files of its own, are no fault; a member that appears twice is, since programs differ."""
    path = mirrors.directory / 'bundle.tar'
    content = members(path)
    rebuild(path, {'a-note': b'by another program', **dict(reversed(content.items()))})
    run('verify', '--full', mirrors.receipts('layout'), '--at', mirrors.at('tar'))
    assert 'did not write it' in run('verify', mirrors.receipts('tar'), '--at', mirrors.at('tar'), code=1).err
    path.write_bytes(path.read_bytes()[:-1024])
    rebuild(mirrors.directory / 'more', {LAYOUT_FILE: content[LAYOUT_FILE]})
    path.write_bytes(path.read_bytes() + (mirrors.directory / 'more').read_bytes())
    assert 'is 2 times in' in run('verify', mirrors.receipts('layout'), '--at', mirrors.at('tar'), code=1).err


@pytest.mark.parametrize(('kind', 'at', 'words'), [
    ('layout', 'mounts://x', 'mounts:// keeps neither blobs nor tars of layers: give --at=layout://… or '),
    ('tar', 'oci://x', 'oci:// keeps neither blobs'), ('registry', 'mounts://x', 'mounts:// keeps neither blobs'),
    ('registry', 'dir://x', 'is for an index of several platforms, which needs a place with manifests'),
    ('layout', 'tar://x?format=docker', 'is for an index of several platforms'),
    ('tar', 'docker://x', 'is for an index of several platforms'),
    ('layout', 'layout://x@sha256:' + 64 * '0', 'by a tag, without a digest'),
    ('dir', 'layout://x', 'which keeps no manifests and blobs by their digests: give --at=dir://…'),
    ('dir', 'tar://x?format=oci', 'give --at=dir://…'), ('dir', 'mounts://x', 'give --at=dir://…'),
])
def test_receipts_without_the_needed_digests_are_refused(kind: str, at: str, words: str, mirrors: Mirrors) -> None:
    run('process', f'registry://{mirrors.host}/team/app:v1', f'dir://{mirrors.directory}/dir', '--receipt',
        mirrors.receipts('dir'))
    result = run('verify', mirrors.receipts(kind), '--at', at, code=2)
    assert words in result.err and len(result.errors) == 1


def test_older_receipts_say_what_they_lack(mirrors: Mirrors) -> None:
    """Entries without the digest of their manifest, as earlier versions wrote them, do unless they have a tag."""
    receipts = [Receipt.from_json(line) for line in mirrors.receipts('layout').read_bytes().splitlines()]
    older = [json.loads(each.to_json()) for each in receipts]
    for document in older:
        for each in document['expectations']:
            if each['kind'] == 'entry':
                del each['covers']
    lines = [json.dumps({**each, 'seal': seal({key: value for key, value in each.items() if key != 'seal'})})
             for each in older]
    old = mirrors.directory / 'old'
    old.write_text('\n'.join(lines))
    run('verify', '--full', old, '--at', mirrors.at('layout'))
    assert 'of an earlier version does not say which manifest has the tag sha256-' in run(
        'verify', old, '--at', mirrors.at('registry'), code=2).err
    old.write_text('\n'.join(line for line in lines if '.sig"' not in line))
    run('verify', '--full', old, '--at', mirrors.at('registry'))


def outcomes(result: CommandResult) -> dict[str, str]:
    """Return the outcome of each image, by its name."""
    return {name: each['outcome'] for each in result.json()['images'] for name in NAMES
            if each['reference'].endswith(f'/{name}')}


def receipt_of(mirrors: Mirrors, kind: str, name: str) -> Receipt:
    receipts = map(Receipt.from_json, mirrors.receipts(kind).read_bytes().splitlines())
    return next(each for each in receipts if each.reference.endswith(f'/{name}'))


def change(mirrors: Mirrors, place: str, name: str, edit: Callable[[bytes], bytes | None]) -> None:
    """Change a file of a layout, or a member of the archive; None removes it."""
    if place == 'tar':
        content = members(mirrors.directory / 'bundle.tar')
        rebuild(mirrors.directory / 'bundle.tar', {**content, name: edit(content[name])})
        return
    path = mirrors.directory / 'layout' / name
    if (changed := edit(path.read_bytes())) is None:
        path.unlink()
    else:
        path.write_bytes(changed)
