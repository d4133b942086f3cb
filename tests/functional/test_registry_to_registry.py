"""From registry to registry what is not changed is not touched: digests stay, nothing is unpacked or sent twice."""
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.images import raw_manifest
from tests.services.command_line import CommandLine
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.services.tiny_image import put_tiny_image


def sent_blobs(registry: Registry) -> list[str]:
    """Return the requests by which blobs or manifests were put into a registry."""
    return [line for line in registry.requests() if line.startswith(('POST', 'PUT', 'PATCH'))]


def read_blobs(registry: Registry, repository: str) -> list[str]:
    """Return the requests by which blobs were read from a repository."""
    return [line for line in registry.requests() if line.startswith(f'GET /v2/{repository}/blobs/')]


@pytest.fixture
def without_codecs(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can be compressed or decompressed."""
    directory = tmp_path / 'codecs'
    directory.mkdir()
    for name in ('deflate', 'isal', 'zlib_ng', 'zstandard'):
        (directory / f'{name}.py').write_text('raise ImportError("not in this test")\n')
    return {'PYTHONPATH': str(directory)}


def test_real_image_keeps_its_digest_and_is_sent_once(
        real_registry: Registry, real_image: RealImage, registry_factory: Callable[[], Registry],
        without_codecs: dict[str, str], occystrap: CommandLine) -> None:
    target = registry_factory()
    source, destination = f'registry://{real_registry.host}/real:v1', f'registry://{target.host}/copy:v1'
    first = occystrap('process', source, destination, env=without_codecs).assert_success()
    assert first.err.splitlines()[-1].endswith('1/1 verified')
    manifest = raw_manifest(target, 'copy:v1')
    assert manifest == raw_manifest(real_registry, 'real:v1')
    assert f'sha256:{hashlib.sha256(manifest).hexdigest()}' == real_image.manifest_digest
    sent, read = sent_blobs(target), read_blobs(real_registry, 'real')
    assert len([line for line in sent if line.startswith('POST')]) == len(set(real_image.layer_digests)) + 1
    occystrap('process', source, destination, env=without_codecs).assert_success()
    assert sent_blobs(target) == sent, 'a second run sent something'
    layers_read = [line for line in read_blobs(real_registry, 'real')[len(read):]
                   if any(digest in line for digest in real_image.layer_digests)]
    assert not layers_read, 'a second run read layers'


def test_only_the_missing_blob_is_sent_again(registry: Registry, registry_factory: Callable[[], Registry],
                                             occystrap: CommandLine) -> None:
    target = registry_factory()
    put_sample_image(registry, 'again/one', 'v1')
    put_sample_image(registry, 'again/two', 'v1', variant='another')
    occystrap('process', f'registry://{registry.host}/again/one:v1', f'registry://{target.host}/copy:one')
    before = sent_blobs(target)
    occystrap('process', f'registry://{registry.host}/again/two:v1',
              f'registry://{target.host}/copy:two', '--verify=full').assert_success()
    posted = [line for line in sent_blobs(target)[len(before):] if line.startswith('POST')]
    assert len(posted) == 2, 'the third layer and the config are new, the other two layers are not'


def test_a_small_image_costs_as_few_requests_as_its_proof_allows(
        registry: Registry, registry_factory: Callable[[], Registry], occystrap: CommandLine) -> None:
    target = registry_factory()
    put_tiny_image(registry, 'few/one', 'v1')
    occystrap('process', f'registry://{registry.host}/few/one:v1', f'registry://{target.host}/one:v1').assert_success()
    asked = [line.split()[:2] for line in registry.requests() if '/few/one/' in line and line.startswith('GET')]
    assert [path.rpartition('/')[0] for _, path in asked] == [f'/v2/few/one/{kind}' for kind in
                                                              ('manifests', 'blobs', 'blobs')]
    methods = Counter(line.split()[0] for line in target.requests() if '/v2/one/' in line)
    assert methods == {'GET': 3, 'POST': 2, 'PUT': 3, 'HEAD': 2}, 'tag and layer, upload, proof'


def test_verify_reports_what_was_skipped(registry: Registry, registry_factory: Callable[[], Registry],
                                         occystrap: CommandLine) -> None:
    target = registry_factory()
    put_sample_image(registry, 'evidence', 'v1')
    source, destination = f'registry://{registry.host}/evidence:v1', f'registry://{target.host}/copy:v1'
    occystrap('process', source, destination, '--receipt', 'first').assert_success()
    occystrap('process', source, destination, '--receipt', 'second').assert_success()
    assert 'evidence: descriptor' not in occystrap('verify', 'first').assert_success().err
    assert 'evidence: descriptor' in occystrap('verify', 'second').assert_success().err
    assert occystrap('verify', 'second', '-O', 'json').json()['images'][0]['evidence'] == 'descriptor'


@pytest.mark.parametrize(('fixture', 'anonymous'), [('private_registry', False), ('token_registry', True)])
def test_private_registries(fixture: str, anonymous: bool, registry: Registry, request: pytest.FixtureRequest,
                            occystrap: CommandLine) -> None:
    private: Registry = request.getfixturevalue(fixture)
    put_sample_image(registry, 'private', 'v1')
    env = {'OCCYSTRAP_USERNAME': str(private.user), 'OCCYSTRAP_PASSWORD': str(private.password)}
    source, destination = f'registry://{registry.host}/private:v1', f'registry://{private.host}/private:v1'
    refused = occystrap('process', source, destination).assert_code(1)
    assert private.host in refused.err and len(refused.errors) == 1
    pushed = occystrap('process', source, destination, '--verify=full', '--receipt', 'receipt', env=env)
    assert pushed.assert_success().err.splitlines()[-1].endswith('1/1 verified')
    assert str(private.password) not in (occystrap.directory / 'receipt').read_text()
    pulled = occystrap('process', destination, 'dir://back', '--verify=full', env={} if anonymous else env)
    pulled.assert_success()
    without = occystrap('verify', 'receipt').assert_code(0 if anonymous else 1)
    assert anonymous or without.err.splitlines()[-1].endswith('0/1 verified, 1 UNVERIFIED')
    occystrap('verify', 'receipt', env=env).assert_success()
