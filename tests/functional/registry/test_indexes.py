"""Whole multi-platform images between real registries, with skopeo as witness."""
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.images import raw_manifest, skopeo
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import Descriptor, put_blob, put_manifest

INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'


@pytest.fixture(autouse=True)
def witness(program: Callable[..., str]) -> None:
    """Skopeo, which knows nothing of occystrap."""
    program('skopeo')


def put_index(registry: Registry, name: str, entries: list[dict[str, Any]]) -> Descriptor:
    """Put an index, indented, which no program would write the same way."""
    repository, _, tag = name.partition(':')
    index = {'manifests': entries, 'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'annotations': {'by': 'the test'}}
    return put_manifest(registry, repository, json.dumps(index, indent=2).encode(), INDEX_TYPE, tag)


def put_attestation(registry: Registry, repository: str, about: Descriptor) -> dict[str, Any]:
    """Put the attestation that BuildKit adds to an image; return its entry."""
    config = put_blob(registry, repository, b'{"architecture": "unknown", "os": "unknown"}',
                      'application/vnd.oci.image.config.v1+json')
    statement = put_blob(registry, repository, json.dumps({'about': about['digest']}).encode(),
                         'application/vnd.in-toto+json')
    document = {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': config, 'layers': [statement]}
    put = put_manifest(registry, repository, json.dumps(document).encode(), MANIFEST_TYPE)
    return {**put, 'platform': {'os': 'unknown', 'architecture': 'unknown'}, 'annotations': {
        'vnd.docker.reference.digest': about['digest'], 'vnd.docker.reference.type': 'attestation-manifest'}}


def put_many(registry: Registry, name: str) -> list[dict[str, Any]]:
    """Put an index of three platforms with an attestation each; return its entries."""
    repository = name.partition(':')[0]
    images = [put_tiny_image(registry, repository, architecture=each) for each in ('amd64', 'arm64', 's390x')]
    entries = images + [put_attestation(registry, repository, each) for each in images]
    put_index(registry, name, entries)
    return entries


def digest(data: bytes) -> str:
    return f'sha256:{hashlib.sha256(data).hexdigest()}'


def everything(registry: Registry, directory: Path, name: str) -> set[str]:
    """Return the digests of all that skopeo gets of a tag, read and checked by skopeo itself."""
    shutil.rmtree(directory, ignore_errors=True)
    skopeo('copy', '-q', '--all', '--src-tls-verify=false', f'docker://{registry.host}/{name}', f'oci:{directory}')
    return {path.name for path in (directory / 'blobs/sha256').iterdir()}


def test_the_real_index_arrives_whole(real_registry: Registry, registry_factory: Callable[[], Registry],
                                      occystrap: CommandLine) -> None:
    target = registry_factory()
    result = occystrap('process', f'registry://{real_registry.host}/multi:v1', f'registry://{target.host}/copy:v1',
                       '--platform=all', '--verify=fast', '--receipt', 'receipt').assert_success()
    assert result.err.splitlines()[-1].endswith(', 1/1 verified')
    assert digest(raw_manifest(target, 'copy:v1')) == digest(raw_manifest(real_registry, 'multi:v1'))
    assert everything(target, occystrap.directory / 'to', 'copy:v1') == everything(
        real_registry, occystrap.directory / 'from', 'multi:v1')
    occystrap('verify', 'receipt', '--verify=full').assert_success()


def test_as_skopeo_copies_it(registry: Registry, occystrap: CommandLine) -> None:
    entries = put_many(registry, 'indexes/many:v1')
    occystrap('process', f'registry://{registry.host}/indexes/many:v1?platform=all',
              f'registry://{registry.host}/indexes/ours:v1', '--verify=full').assert_success()
    skopeo('copy', '-q', '--all', '--src-tls-verify=false', '--dest-tls-verify=false',
           f'docker://{registry.host}/indexes/many:v1', f'docker://{registry.host}/indexes/theirs:v1')
    assert raw_manifest(registry, 'indexes/ours:v1') == raw_manifest(registry, 'indexes/theirs:v1')
    for entry in entries:
        assert digest(raw_manifest(registry, f'indexes/ours@{entry["digest"]}')) == entry['digest']


def test_an_index_in_an_index(registry: Registry, occystrap: CommandLine) -> None:
    entries = put_many(registry, 'indexes/inner:v1')
    inner = put_index(registry, 'indexes/inner', entries[:2])
    put_index(registry, 'indexes/inner:outer', [inner, entries[2]])
    occystrap('process', f'registry://{registry.host}/indexes/inner:outer?platform=all',
              f'registry://{registry.host}/indexes/nested:v1', '--verify=full').assert_success()
    assert raw_manifest(registry, 'indexes/nested:v1') == raw_manifest(registry, 'indexes/inner:outer')
    assert digest(raw_manifest(registry, f'indexes/nested@{inner["digest"]}')) == inner['digest']


@pytest.mark.parametrize('how', ['option', 'command line'])
def test_a_list_of_platforms(how: str, registry: Registry, occystrap: CommandLine) -> None:
    entries = put_many(registry, 'indexes/list:v1')
    platforms = 'linux/arm64,linux/amd64'
    options = (f'?platform={platforms}',) if how == 'option' else ('', '--platform', platforms)
    target = f'indexes/chosen-{how.partition(" ")[0]}:v1'
    occystrap('process', f'registry://{registry.host}/indexes/list:v1{options[0]}',
              f'registry://{registry.host}/{target}', *options[1:], '--verify=full').assert_success()
    index = json.loads(raw_manifest(registry, target))
    assert index['manifests'] == [entries[0], entries[1], entries[3], entries[4]]
    assert index['annotations'] == {'by': 'the test'}
    inspected = skopeo('inspect', '--override-arch=arm64', '--tls-verify=false', f'docker://{registry.host}/{target}')
    assert json.loads(inspected)['Architecture'] == 'arm64'


def test_filters_change_each_image(registry: Registry, occystrap: CommandLine) -> None:
    entries = put_many(registry, 'indexes/plain:v1')
    result = occystrap('process', f'registry://{registry.host}/indexes/plain:v1?platform=all',
                       f'registry://{registry.host}/indexes/filtered:v1', '-f', 'normalize-timestamps:ts=1',
                       '--verify=full').assert_success()
    notes = [line for line in result.err.splitlines() if line.startswith('note: ')]
    assert len(notes) == 3 and all('is not an image' in line for line in notes)
    index = json.loads(raw_manifest(registry, 'indexes/filtered:v1'))
    assert [each['platform'] for each in index['manifests']] == [each['platform'] for each in entries[:3]]
    assert not {each['digest'] for each in index['manifests']} & {each['digest'] for each in entries}
    everything(registry, occystrap.directory / 'filtered', 'indexes/filtered:v1')


@pytest.mark.parametrize('target', ['dir://out', 'tar://out.tar', 'docker://name:v1'])
def test_a_place_for_one_image_refuses_an_index(target: str, registry: Registry, occystrap: CommandLine) -> None:
    put_many(registry, 'indexes/refused:v1')
    result = occystrap('process', f'registry://{registry.host}/indexes/refused:v1', target, '--platform=all')
    line, = result.assert_code(2).errors
    assert 'holds one image' in line and '--platform' in line
    assert not any(occystrap.directory.glob('out*'))


def test_a_source_of_one_image_refuses_a_list(registry: Registry, occystrap: CommandLine) -> None:
    put_many(registry, 'indexes/source:v1')
    occystrap('process', f'registry://{registry.host}/indexes/source:v1', 'dir://one', '--platform=linux/arm64')
    result = occystrap('process', 'dir://one', f'registry://{registry.host}/indexes/never:v1', '--platform=all')
    line, = result.assert_code(2).errors
    assert 'dir://one can supply one platform only' in line


@pytest.mark.parametrize('platform', ['linux', 'all,linux/amd64', 'linux/amd64,,linux/arm64'])
def test_invalid_platforms(platform: str, registry: Registry, occystrap: CommandLine) -> None:
    result = occystrap('process', f'registry://{registry.host}/x:v1', 'dir://out', '--platform', platform)
    line, = result.assert_code(2).errors
    assert 'os/architecture' in line


def test_damage_of_a_child_is_named(registry_factory: Callable[[], Registry], registry: Registry,
                                    occystrap: CommandLine) -> None:
    target = registry_factory()
    entries = put_many(registry, 'indexes/damaged:v1')
    occystrap('process', f'registry://{registry.host}/indexes/damaged:v1', f'registry://{target.host}/app:v1',
              '--platform=all', '--receipt', 'receipt').assert_success()
    arm = json.loads(target.read_blob(entries[1]['digest']))
    for damaged in (entries[1]['digest'], arm['config']['digest'], arm['layers'][0]['digest']):
        target.damage_blob(damaged, 30)
        result = occystrap('verify', 'receipt', '--verify=full').assert_code(1)
        assert damaged in result.err and result.err.splitlines()[-1].endswith('0/1 verified, 1 FAILED')
        target.damage_blob(damaged, 30)
    target.remove_blob(entries[4]['digest'])
    result = occystrap('verify', 'receipt').assert_code(1)
    assert f'manifest {entries[4]["digest"]}' in result.err


@pytest.mark.parametrize('part', ['manifest', 'layer'])
def test_damage_at_the_source_leaves_no_tag(part: str, registry_factory: Callable[[], Registry],
                                            occystrap: CommandLine) -> None:
    source, target = registry_factory(), registry_factory()
    entries = put_many(source, 'app:v1')
    child = entries[1]['digest']
    damaged = child if part == 'manifest' else json.loads(source.read_blob(child))['layers'][0]['digest']
    source.damage_blob(damaged, 15)
    result = occystrap('process', f'registry://{source.host}/app:v1', f'registry://{target.host}/app:v1',
                       '--platform=all', '--retries=0')
    line, = result.assert_code(1).errors
    assert damaged in line
    assert not any('/manifests/v1 201' in each for each in target.requests())


def test_a_dry_run_writes_nothing(registry: Registry, registry_factory: Callable[[], Registry], occystrap: CommandLine,
                                  ) -> None:
    target = registry_factory()
    put_many(registry, 'indexes/dry:v1')
    source = f'registry://{registry.host}/indexes/dry:v1?platform=all'
    result = occystrap('process', '--dry-run', source, f'registry://{target.host}/app:v1').assert_success()
    assert '6 layers' in result.out + result.err
    assert not any(line.split()[0] in ('PUT', 'POST', 'PATCH') for line in target.requests())
    refused = occystrap('process', '--dry-run', source, 'dir://out')
    assert 'holds one image' in refused.out + refused.err
