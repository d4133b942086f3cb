"""Signatures, SBOMs and attestations come along, to registries with the referrers API and without."""
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_registry.server.server_thread import RegistryServer
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import Descriptor, put_blob, put_manifest

INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
EMPTY = 'application/vnd.oci.empty.v1+json'
ACCEPT = f'{INDEX_TYPE}, {MANIFEST_TYPE}'


def artifact(registry: Registry, repository: str, content: bytes, tag: str = '', subject: Descriptor | None = None,
             kind: str = 'application/spdx+json') -> dict[str, Any]:
    """Put an artifact; return the descriptor under which a list of referrers has it."""
    document: dict[str, Any] = {
        'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'artifactType': kind,
        'config': put_blob(registry, repository, b'{}', EMPTY),
        'layers': [put_blob(registry, repository, content, kind)], 'annotations': {'made': 'by a test'}}
    if subject:
        document['subject'] = {name: subject[name] for name in ('mediaType', 'digest', 'size')}
    put = put_manifest(registry, repository, json.dumps(document).encode(), MANIFEST_TYPE, tag)
    return {**put, 'artifactType': kind, 'annotations': document['annotations']}


def list_by_tag(registry: Registry, repository: str, subject: Descriptor, *entries: dict[str, Any]) -> None:
    """Do what a client must where a registry has no referrers API."""
    index = {'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': list(entries)}
    put_manifest(registry, repository, json.dumps(index).encode(), INDEX_TYPE, tag_of(subject))


def tag_of(subject: Descriptor) -> str:
    return str(subject['digest']).replace(':', '-')


def get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={'Accept': ACCEPT})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def digest(data: bytes) -> str:
    return f'sha256:{hashlib.sha256(data).hexdigest()}'


@pytest.fixture
def with_api(tmp_path: Path) -> Iterator[str]:
    """A registry that has the referrers API: its host."""
    with RegistryServer(tmp_path / 'registry') as server:
        yield server.host


def signed(registry: Registry, repository: str) -> tuple[Descriptor, list[dict[str, Any]], str]:
    """Put an image with an SBOM, its signature, and a cosign signature; return image, artifacts, cosign's tag."""
    image = put_tiny_image(registry, repository, 'v1')
    sbom = artifact(registry, repository, b'packages', subject=image)
    signature = artifact(registry, repository, b'signature', subject=sbom, kind='application/vnd.example.signature')
    list_by_tag(registry, repository, image, sbom)
    list_by_tag(registry, repository, sbom, signature)
    tag = f'{tag_of(image)}.sig'
    artifact(registry, repository, b'cosign', tag, kind='application/vnd.dev.cosign.simplesigning.v1+json')
    return image, [sbom, signature], tag


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_to_a_registry_without_the_api(level: str, registry: Registry, occystrap: CommandLine) -> None:
    image, artifacts, tag = signed(registry, f'referrers/plain-{level}')
    target = f'referrers/to-{level}'
    occystrap('process', f'registry://{registry.host}/referrers/plain-{level}:v1?referrers=true',
              f'registry://{registry.host}/{target}:v1', f'--verify={level}', '--platform=linux/amd64',
              '--receipt', 'receipt').assert_success()
    for name in [tag, image['digest'], *(each['digest'] for each in artifacts)]:
        assert get(f'{registry.url}/v2/{target}/manifests/{name}') == get(
            f'{registry.url}/v2/referrers/plain-{level}/manifests/{name}')
    listed = json.loads(get(f'{registry.url}/v2/{target}/manifests/{tag_of(image)}'))
    assert listed['manifests'] == artifacts[:1]
    occystrap('verify', 'receipt', '--verify=full').assert_success()


def test_to_a_registry_with_the_api_and_back(registry: Registry, with_api: str, occystrap: CommandLine) -> None:
    image, artifacts, tag = signed(registry, 'referrers/there')
    for source, target in [(f'{registry.host}/referrers/there:v1', f'{with_api}/app:v1'),
                           (f'{with_api}/app:v1', f'{registry.host}/referrers/back:v1')]:
        occystrap('process', f'registry://{source}?referrers=true&platform=all', f'registry://{target}',
                  '--verify=full').assert_success()
    listed = json.loads(get(f'http://{with_api}/v2/app/referrers/{image["digest"]}'))
    assert listed['manifests'] == artifacts[:1]
    with pytest.raises(urllib.error.HTTPError):
        get(f'http://{with_api}/v2/app/manifests/{tag_of(image)}')
    for name in [tag, *(each['digest'] for each in artifacts)]:
        assert get(f'{registry.url}/v2/referrers/back/manifests/{name}') == get(
            f'{registry.url}/v2/referrers/there/manifests/{name}')
    assert json.loads(get(f'{registry.url}/v2/referrers/back/manifests/{tag_of(image)}'))['manifests'] == artifacts[:1]


def test_referrers_of_a_whole_index(registry: Registry, occystrap: CommandLine) -> None:
    images = [put_tiny_image(registry, 'referrers/many', architecture=each) for each in ('amd64', 'arm64')]
    raw = json.dumps({'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': images}).encode()
    index = put_manifest(registry, 'referrers/many', raw, INDEX_TYPE, 'v1')
    for subject in (index, images[1]):
        signature = artifact(registry, 'referrers/many', str(subject['digest']).encode(), subject=subject)
        list_by_tag(registry, 'referrers/many', subject, signature)
    occystrap('process', f'registry://{registry.host}/referrers/many:v1?referrers=true&platform=all',
              f'registry://{registry.host}/referrers/all:v1', '--verify=full').assert_success()
    for subject in (index, images[1]):
        tag = tag_of(subject)
        assert json.loads(get(f'{registry.url}/v2/referrers/all/manifests/{tag}'))['manifests'] == json.loads(
            get(f'{registry.url}/v2/referrers/many/manifests/{tag}'))['manifests']


def test_damage_is_named(registry: Registry, registry_factory: Callable[[], Registry], occystrap: CommandLine) -> None:
    target = registry_factory()
    image, (sbom, signature), tag = signed(registry, 'referrers/damaged')
    occystrap('process', f'registry://{registry.host}/referrers/damaged:v1?referrers=true',
              f'registry://{target.host}/app:v1', '--receipt', 'receipt').assert_success()
    content = digest(b'packages')
    for damaged in (sbom['digest'], content, target.tag_digest('app', tag)):
        target.damage_blob(damaged, 1)
        result = occystrap('verify', 'receipt', '--verify=full', '--longest-wait', '0.1').assert_code(1)
        assert damaged in result.err or tag in result.err
        target.damage_blob(damaged, 1)
    target.move_tag('app', tag_of(image), target.tag_digest('app', tag_of(sbom)))
    result = occystrap('verify', 'receipt').assert_code(1)
    assert f'{sbom["digest"]} is not listed as its referrer in {target.host}/app' in result.err


@pytest.mark.parametrize(('target', 'words'), [(('dir://out',), 'leave out referrers=true'),
                                               (('tar://out.tar',), 'leave out referrers=true')])
def test_places_for_an_image_alone_refuse(target: tuple[str], words: str, registry: Registry, occystrap: CommandLine,
                                          ) -> None:
    signed(registry, 'referrers/refused')
    result = occystrap('process', f'registry://{registry.host}/referrers/refused:v1?referrers=true', *target)
    line, = result.assert_code(2).errors
    assert words in line and not any(occystrap.directory.glob('out*'))
    filtered = occystrap('process', f'registry://{registry.host}/referrers/refused:v1?referrers=true',
                         f'registry://{registry.host}/referrers/never:v1', '-f', 'normalize-timestamps')
    line, = filtered.assert_code(2).errors
    assert 'leave out the filters or referrers=true' in line
