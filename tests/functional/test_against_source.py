"""verify --against: whether what stands at a destination is what the source has now."""
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, manifest_at, name_all, put_artifact, registry_of, registry_with

NAMES = ['team/app:v1', 'team/app:v2', 'many:v1']
PLACES = {'layout': 'layout://{}/mirror', 'registry': 'registry://{host}/copy/{{repository}}:{{tag}}',
          'oci': 'tar://{}/mirror.tar?format=oci', 'dir': 'dir://{}/mirror?unique_names=true',
          'mounts': 'mounts://{}/mounts', 'tar': 'tar://{}/{{name}}-{{tag}}.tar', 'bundle': 'oci://{}/{{name}}-{{tag}}'}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    yield from registry_of(tmp_path, NAMES)


def mirror(kind: str, path: Path, host: str, *more: str) -> str:
    """Copy everything; return the destination."""
    place = PLACES[kind].format(path, host=host)
    run_here('process', f'list://{path}/list', place, '--receipt', path / 'done', *more).assert_code(0)
    return place


def against(target: str | Path, source: str, *more: str, code: int = 0) -> CommandResult:
    result = run_here('-O', 'json', 'verify', target, '--against', source, *more)
    result.assert_code(code)
    return result


def outcomes(result: CommandResult) -> dict[str, str]:
    return {each['reference'].partition('/')[2].removeprefix('copy/'): each['outcome']
            for each in result.json()['images']}


def findings(result: CommandResult) -> str:
    return ' '.join(each['message'] for image in result.json()['images'] for each in image['findings'])


def move(host: str, name: str) -> tuple[str, str]:
    """Give a name to another image; return the digests before and after."""
    repository, tag = name.split(':')
    before = document_at(host, tag, repository).digest
    push(host, Settings(), sample_image(name, variant='moved'), name)
    return before, document_at(host, tag, repository).digest


@pytest.mark.parametrize('kind', PLACES)
def test_a_mirror_that_is_current_and_then_stale(kind: str, host: str, tmp_path: Path) -> None:
    place, source = mirror(kind, tmp_path, host), f'list://{tmp_path}/list'
    for target in (place, tmp_path / 'done'):
        for level in ('fast', 'full'):
            assert set(outcomes(against(target, source, f'--verify={level}')).values()) == {'verified'}
    before, after = move(host, NAMES[0])
    for target in (place, tmp_path / 'done'):
        result = against(target, source, code=1)
        assert outcomes(result) == {NAMES[0]: 'failed', NAMES[1]: 'verified', NAMES[2]: 'verified'}
        config = str(json.loads(manifest_at(host, after, 'team/app').content)['config']['digest'])
        assert after in findings(result) or config in findings(result)
        assert 'the source has sha256:' in findings(result) or 'expected sha256:' in findings(result)
    run_here('process', source, place, '--receipt', tmp_path / 'done', '--force').assert_code(0)
    assert set(outcomes(against(place, source)).values()) == {'verified'}


def test_both_digests_are_told(host: str, tmp_path: Path) -> None:
    places = [mirror(kind, tmp_path, host) for kind in ('registry', 'layout')]
    before, after = move(host, NAMES[0])
    single = f'registry://{host}/{NAMES[0]}'
    result = run_here('verify', f'registry://{host}/copy/{NAMES[0]}', '--against', single)
    result.assert_code(1)
    assert f'the source has {after}, the destination has {before}' in result.err
    assert '0/1 verified, 1 FAILED' in result.err
    assert after in findings(against(places[1], single, code=1))


@pytest.mark.parametrize('kind', ['layout', 'registry', 'oci', 'dir', 'tar'])
def test_a_flipped_bit_is_found_by_full(kind: str, host: str, tmp_path: Path) -> None:
    name_all(tmp_path, host, NAMES[:1])
    place = mirror(kind, tmp_path, host)
    layer = sample_image(NAMES[0], variant=NAMES[0]).layers[-1]
    assert layer.descriptor and layer.diff_id
    blob = b''.join(map(bytes, (layer.stored() if kind in ('layout', 'registry', 'oci') else layer.tar()).chunks()))
    damaged = 0
    for file in (each for each in tmp_path.rglob('*') if each.is_file() and blob[:200] in each.read_bytes()):
        content = bytearray(file.read_bytes())
        content[content.index(blob[:200]) + 180] ^= 1
        file.write_bytes(content)
        damaged += 1
    assert damaged  # at the source as well where that has the same blob: its layers are not read
    assert set(outcomes(against(place, f'registry://{host}/{NAMES[0]}', '--full', code=1)).values()) == {'failed'}


@pytest.mark.parametrize('kind', ['layout', 'registry', 'oci', 'dir', 'tar', 'mounts'])
def test_missing_images_are_failed(kind: str, host: str, tmp_path: Path) -> None:
    name_all(tmp_path, host, NAMES[:1])
    place = mirror(kind, tmp_path, host)
    name_all(tmp_path, host, NAMES[:2])
    result = against(place, f'list://{tmp_path}/list', code=1)
    assert outcomes(result)[NAMES[0]] == 'verified' and outcomes(result)[NAMES[1]] in ('failed', 'unverified')
    if kind != 'mounts':
        assert outcomes(result)[NAMES[1]] == 'failed'


@pytest.mark.parametrize('kind', ['layout', 'dir'])
def test_images_unknown_to_the_source_are_failed(kind: str, host: str, tmp_path: Path) -> None:
    place = mirror(kind, tmp_path, host)
    name_all(tmp_path, host, NAMES[1:])
    for target in (place, tmp_path / 'done'):
        result = against(target, f'list://{tmp_path}/list', code=1)
        assert outcomes(result)[NAMES[0]] == 'failed' and 'the source does not list it' in findings(result)
    against(place, f'registry://{host}/{NAMES[1]}')  # a single image, of which the other is no part


def test_an_image_that_is_gone_is_failed_and_a_source_that_is_gone_proves_nothing(tmp_path: Path) -> None:
    with registry_with(tmp_path / 'registry', NAMES[:1]) as server:
        name_all(tmp_path, server.host, NAMES[:1])
        place, source = mirror('layout', tmp_path, server.host), f'registry://{server.host}/{NAMES[0]}'
        httpx.delete(f'http://{server.host}/v2/team/app/manifests/v1', trust_env=False).raise_for_status()
        result = against(place, source, code=1)
        assert outcomes(result) == {NAMES[0]: 'failed'} and 'the source does not have it now' in findings(result)
    for target in (place, tmp_path / 'done'):
        result = against(target, source, '--retries=0', code=1)
        assert outcomes(result) == {NAMES[0]: 'unverified'} and 'connection refused' in findings(result)


def test_a_destination_that_is_gone_proves_nothing(host: str, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'other') as other:
        run_here('process', f'registry://{host}/{NAMES[0]}', f'registry://{other.host}/{NAMES[0]}').assert_code(0)
    result = against(f'registry://{other.host}/{NAMES[0]}', f'registry://{host}/{NAMES[0]}', '--retries=0', code=1)
    assert outcomes(result) == {NAMES[0]: 'unverified'}


@pytest.mark.parametrize('kind', ['layout', 'registry', 'oci'])
def test_an_index_and_a_single_image_of_it(kind: str, host: str, tmp_path: Path) -> None:
    """Where a receipt is kept it says which platforms were taken; else the user does."""
    name_all(tmp_path, host, NAMES[2:])
    place, source = mirror(kind, tmp_path, host, '--platform=linux/amd64'), f'registry://{host}/{NAMES[2]}'
    result = against(place, source, code=0 if kind == 'layout' else 1)
    assert outcomes(result) == {NAMES[2]: 'verified' if kind == 'layout' else 'failed'}
    notes = ' '.join(result.json()['images'][0]['notes'])
    assert ('1 of 2 platforms' if kind == 'layout' else 'use --platform') in notes
    assert set(outcomes(against(place, source, '--platform=linux/amd64')).values()) == {'verified'}
    assert set(outcomes(against(tmp_path / 'done', source)).values()) == {'verified'}
    assert set(outcomes(against(place, source, '--platform=linux/arm64/v8', code=1)).values()) == {'failed'}


@pytest.mark.parametrize('kind', ['layout', 'registry', 'dir'])
def test_filters_are_told_in_words(kind: str, host: str, tmp_path: Path) -> None:
    name_all(tmp_path, host, NAMES[:1])
    place, source = mirror(kind, tmp_path, host, '-f', 'normalize-timestamps'), f'registry://{host}/{NAMES[0]}'
    targets: list[str | Path] = [tmp_path / 'done', *([] if kind == 'registry' else [place])]
    for target in targets:
        image, = against(target, source).json()['images']
        assert image['outcome'] == 'verified' and '--filter=normalize-timestamps changed it' in image['notes'][0]
    if kind == 'registry':
        assert set(outcomes(against(place, source, code=1)).values()) == {'failed'}
    before, after = move(host, NAMES[0])
    for target in targets:
        assert f'the source has {after}, the destination has {before}' in findings(against(target, source, code=1))


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_another_form_is_told_by_config_and_layers(level: str, host: str, tmp_path: Path) -> None:
    """A docker archive as source has no manifest, and a registry may get another; config and layers are the same."""
    run_here('process', f'registry://{host}/{NAMES[0]}', f'tar://{tmp_path}/app.tar').assert_code(0)
    for place in (f'registry://{host}/again/app:v1', f'layout://{tmp_path}/again:v1',
                  f'registry://{host}/docker/app:v1?format=docker'):
        run_here('process', f'tar://{tmp_path}/app.tar', place, '--no-refresh').assert_code(0)
        for source in (f'tar://{tmp_path}/app.tar', f'registry://{host}/{NAMES[0]}'):
            image, = against(place, source, f'--verify={level}').json()['images']
            assert image['outcome'] == 'verified'
        other = against(place, f'registry://{host}/{NAMES[1]}', f'--verify={level}', code=1)
        assert set(outcomes(other).values()) == {'failed'}
    move(host, 'again/app:v1')
    result = against(f'registry://{host}/again/app:v1', f'tar://{tmp_path}/app.tar', code=1)
    assert 'the source has image sha256:' in findings(result)


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_the_layers_of_another_manifest_are_held_against_the_config(level: str, host: str, tmp_path: Path) -> None:
    """The config is the source's own, and beside it the manifest lists a layer that the config does not mean."""
    source = f'tar://{tmp_path}/app.tar'
    run_here('process', f'registry://{host}/{NAMES[0]}', source).assert_code(0)
    run_here('process', source, f'layout://{tmp_path}/there:v1').assert_code(0)
    index = json.loads((tmp_path / 'there/index.json').read_bytes())
    entry, blobs = index['manifests'][0], tmp_path / 'there/blobs/sha256'
    manifest = json.loads((blobs / Digest(entry['digest']).hex).read_bytes())
    manifest['layers'][0] = manifest['layers'][1]
    raw = json.dumps(manifest).encode()
    (blobs / Digest.of(raw).hex).write_bytes(raw)
    entry |= {'digest': Digest.of(raw), 'size': len(raw)}
    (tmp_path / 'there/index.json').write_text(json.dumps(index))
    result = against(f'layout://{tmp_path}/there', source, f'--verify={level}', code=1)
    assert set(outcomes(result).values()) == {'failed'} and manifest['layers'][1]['digest'] in findings(result)


def test_archives_and_directories_of_other_programs_need_no_receipt(host: str, tmp_path: Path) -> None:
    name_all(tmp_path, host, NAMES[:1])
    for kind in ('dir', 'layout'):
        place = mirror(kind, tmp_path, host)
        shutil.rmtree(tmp_path / 'mirror/.occystrap')
        assert set(outcomes(against(place, f'registry://{host}/{NAMES[0]}')).values()) == {'verified'}
        shutil.rmtree(tmp_path / 'mirror')


def test_the_source_may_have_fields(host: str, tmp_path: Path) -> None:
    mirror('layout', tmp_path, host)
    result = against(tmp_path / 'done', f'registry://{host}/{{repository}}:{{tag}}')
    assert set(outcomes(result).values()) == {'verified'} and len(outcomes(result)) == 3
    push(host, Settings(), sample_image('other/team/app:v1', variant='x'), 'other/team/app:v1')
    assert set(outcomes(against(tmp_path / 'done', f'registry://{host}/other/{{repository}}:{{tag}}', code=1)).values(),
               ) == {'failed'}


@pytest.mark.parametrize('kind', ['layout', 'registry', 'oci', 'dir'])
def test_the_source_may_be_a_whole_registry(kind: str, host: str, tmp_path: Path) -> None:
    """Which images are compared is then said by the destination: its receipts, or what it has as a source."""
    name_all(tmp_path, host, NAMES[:2])
    with RegistryServer(tmp_path / 'other') as other:
        place = {'registry': f'registry://{other.host}/team/*:*', 'oci': f'tar://{tmp_path}/mirror.tar'}.get(
            kind, f'{kind}://{tmp_path}/mirror')
        fields = f'registry://{other.host}/{{repository}}:{{tag}}'
        goes = fields if kind == 'registry' else PLACES[kind].format(tmp_path)
        run_here('process', f'list://{tmp_path}/list', goes).assert_code(0)
        for source in (f'registry://{host}', f'registry://{host}/{{repository}}:{{tag}}'):
            result = against(place, source)
            assert outcomes(result) == {NAMES[0]: 'verified', NAMES[1]: 'verified'}
            assert {each['status'] for each in result.json()['images']} == {'verified'}
        move(host, NAMES[0])
        assert outcomes(against(place, f'registry://{host}', code=1)) == {NAMES[0]: 'failed', NAMES[1]: 'verified'}
        if kind == 'layout':
            assert outcomes(against(f'{place}?image=team/app:v2', f'registry://{host}')) == {NAMES[1]: 'verified'}
        httpx.delete(f'http://{host}/v2/team/app/manifests/v2', trust_env=False).raise_for_status()
        assert set(outcomes(against(place, f'registry://{host}', code=1)).values()) == {'failed'}
        if kind == 'layout':
            next((tmp_path / 'mirror/.occystrap/receipts').glob('*v1*')).unlink()
            assert 'unverified' in outcomes(against(place, f'registry://{host}', code=1)).values()


@pytest.mark.parametrize('kind', ['layout', 'dir', 'oci'])
def test_two_names_that_were_exchanged_are_found(kind: str, host: str, tmp_path: Path) -> None:
    """All blobs are there, and each image is the source's own: only the names tell."""
    name_all(tmp_path, host, NAMES[:2])
    place = mirror(kind, tmp_path, host)
    path = tmp_path / {'layout': 'mirror/index.json', 'dir': 'mirror/catalog.json', 'oci': 'mirror.tar'}[kind]
    raw = path.read_bytes()
    names = (b'"v1": ', b'"v2": ') if kind == 'dir' else (b'/team/app:v1"', b'/team/app:v2"')
    path.write_bytes(raw.replace(names[0], b'*' * len(names[0])).replace(names[1], names[0]).replace(
        b'*' * len(names[0]), names[1]))
    assert set(outcomes(against(place, f'list://{tmp_path}/list', code=1)).values()) == {'failed'}


def test_a_forged_receipt_at_the_destination_is_not_believed(host: str, tmp_path: Path) -> None:
    """A name has another image's manifest, all files of both are there, and the receipt says that this is right."""
    name_all(tmp_path, host, NAMES[:2])
    place = mirror('dir', tmp_path, host)
    one, two = (tmp_path / f'mirror/manifest-team_app-{tag}.json' for tag in ('v1', 'v2'))
    one.write_bytes(two.read_bytes().replace(b':v2', b':v1'))
    kept = tmp_path / 'mirror/.occystrap/receipts' / one.name
    receipt = Receipt.from_json(kept.read_bytes())
    kept.write_text(replace(receipt, expectations=[
        each._replace(digest=Digest.of(one.read_bytes()), size=one.stat().st_size) if each.kind == 'manifest' else each
        for each in receipt.expectations]).to_json())
    by_itself = run_here('verify', '--full', place.partition('?')[0]).assert_code(1)
    assert 'which the receipt does not expect' in by_itself.err
    result = against(place, f'list://{tmp_path}/list', code=1)
    assert outcomes(result) == {NAMES[0]: 'failed', NAMES[1]: 'verified'}
    assert 'the destination has sha256:' in findings(result)


def test_referrers_count_if_they_are_asked_for(host: str, tmp_path: Path) -> None:
    signed = document_at(host, 'v1', 'team/app').descriptor
    put_artifact(host, b'sbom', repository='team/app', subject=signed)
    source = f'registry://{host}/{NAMES[0]}?referrers=true'
    run_here('process', source, f'layout://{tmp_path}/mirror').assert_code(0)
    assert set(outcomes(against(f'layout://{tmp_path}/mirror', source)).values()) == {'verified'}
    put_artifact(host, b'another', repository='team/app', subject=signed)
    result = against(f'layout://{tmp_path}/mirror', source, code=1)
    assert 'is not listed in index.json' in findings(result)
    against(f'layout://{tmp_path}/mirror', source.partition('?')[0])


@pytest.mark.parametrize(('arguments', 'words'), [
    (['layout://{}/x', '--platform=linux/amd64'], '--platform is for --against SOURCE'),
    (['layout://{}/x', '--against', 'layout://{}/x'], 'there is no directory'),
    (['{}/done', '--against', 'registry://{host}/{{colour}}'], 'there is no field {colour}'),
    (['{}/done', '--against', 'list://{}/list', '--expect', '0' * 64], 'it is not the file that was written'),
    (['layout://{}/x', '--against', 'registry://{host}/team/app:v1', '--at', 'layout://{}/y'], '--at is for a file of'),
    (['registry://{host}/team/app:v1', '--against', 'registry://{host}/team/app:v1'], 'the same place'),
])
def test_mistakes(arguments: list[str], words: str, host: str, tmp_path: Path) -> None:
    mirror('layout', tmp_path, host)
    result = run_here('verify', *(each.format(tmp_path, host=host) for each in arguments))
    assert result.code in (1, 2) and words in result.err and len(result.errors) == 1
