"""Docker, podman, containerd, skopeo, oras and cosign through `occystrap proxy`, with filters and without."""
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.functional.docker.test_pairs_of_daemons import program_layer, run
from tests.functional.images import skopeo
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine, CommandResult
from tests.services.containerd import containerd
from tests.services.cosign import cosign_program, make_keys, sign
from tests.services.docker_daemon import DockerDaemon
from tests.services.oras import oras_program
from tests.services.podman import PodmanService
from tests.services.registry import Registry
from tests.services.served import Served, proxied
from tests.unit.registry.images import HTTP

FILTER = 'normalize-timestamps'
INDEX = 'application/vnd.oci.image.index.v1+json'


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sample image as an archive."""
    place = tmp_path_factory.mktemp('proxy')
    write_docker_archive(place / 'a.tar', sample_config(sample_layers()), sample_layers(), 'sample-proxied:v1')
    return place


@pytest.fixture(scope='module')
def filtering(place: Path, registry: Registry) -> Iterator[Served]:
    """A proxy that filters, before a real registry."""
    with proxied(CommandLine(place), '-d', f'registry://{registry.host}/filtered', '-f', FILTER, '--storage',
                 place / 'filtering') as running:
        yield running


@pytest.fixture(scope='module')
def plain(place: Path, registry: Registry) -> Iterator[Served]:
    """A proxy without filters, before the same."""
    with proxied(CommandLine(place), '--downstream', f'{registry.host}/plain', '--verify=full', '--storage',
                 place / 'plain') as running:
        yield running


@pytest.mark.parametrize('daemon', ['docker_daemon', 'docker26_daemon', 'containerd_daemon'])
def test_docker(daemon: str, filtering: Served, registry: Registry, place: Path, request: pytest.FixtureRequest,
                ) -> None:
    docker_daemon: DockerDaemon = request.getfixturevalue(daemon)
    name = f'{filtering.host}/{daemon}/app:v1'
    docker_daemon.run('load', '-i', place / 'a.tar')
    docker_daemon.run('tag', 'sample-proxied:v1', name)
    image = docker_daemon.run('image', 'inspect', '--format', '{{.Id}}', name)
    try:
        docker_daemon.run('push', name)
        docker_daemon.run('rmi', '-f', name, 'sample-proxied:v1')
        docker_daemon.run('pull', name)
        pulled = docker_daemon.run('image', 'inspect', '--format', '{{.Id}}', name)
        assert pulled != image
    finally:
        docker_daemon.run('rmi', '-f', name)
    verified = run_here('process', f'registry://{registry.host}/filtered/{daemon}/app:v1', f'dir://{place}/{daemon}',
                        '--verify=full')
    verified.assert_success()


def test_podman(filtering: Served, plain: Served, podman: PodmanService, place: Path) -> None:
    podman.podman('load', '-i', place / 'a.tar')
    image = podman.podman('image', 'inspect', '--format', '{{.Id}}', 'sample-proxied:v1')
    for proxy, same in ((filtering, False), (plain, True)):
        name = f'{proxy.host}/podman/app:v1'
        podman.podman('push', '--tls-verify=false', image.strip(), name)
        podman.podman('pull', '--tls-verify=false', name)
        pulled = podman.podman('image', 'inspect', '--format', '{{.Id}}', name)
        assert (pulled == image) is same
        podman.podman('rmi', '-f', pulled.strip())


def test_containerd(filtering: Served, plain: Served, place: Path) -> None:
    """By its own client, which compares each byte that it pulls with the digests of manifest and index."""
    with require_service(containerd) as daemon:
        daemon.ctr('images', 'import', '--no-unpack', place / 'a.tar')
        imported, digest = daemon.ctr('images', 'ls').splitlines()[1].split()[::2][:2]
        for proxy, same in ((plain, True), (filtering, False)):
            name = f'{proxy.host}/ctr/app:v1'
            daemon.ctr('images', 'tag', imported, name)
            daemon.ctr('images', 'push', '--plain-http', name)
            daemon.ctr('images', 'rm', '--sync', name)
            daemon.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', name)
            pulled = {words[0]: words[2] for words in map(str.split, daemon.ctr('images', 'ls').splitlines()[1:])}
            assert (pulled[name] == digest) is same


@pytest.mark.parametrize('form', ['v2s2', 'oci'])
def test_skopeo(form: str, plain: Served, registry: Registry, place: Path, program: Callable[..., str], tmp_path: Path,
                ) -> None:
    program('skopeo')
    target = f'docker://{plain.host}/skopeo/{form}:v1'
    skopeo('copy', '-q', '--format', form, '--dest-tls-verify=false', f'docker-archive:{place}/a.tar', target)
    skopeo('copy', '-q', '--src-tls-verify=false', target, f'dir:{tmp_path}/out')
    manifest = (tmp_path / 'out/manifest.json').read_bytes()
    stored = skopeo('inspect', '--raw', '--tls-verify=false', f'docker://{registry.host}/plain/skopeo/{form}:v1')
    assert stored.encode() == manifest
    pinned = f'docker://{plain.host}/skopeo/{form}@{Digest.of(manifest)}'
    skopeo('copy', '-q', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false', target, pinned)


def test_skopeo_copies_all_of_an_index(filtering: Served, plain: Served, place: Path, program: Callable[..., str],
                                       tmp_path: Path) -> None:
    program('skopeo')
    index = tmp_path / 'index'
    run_here('process', f'tar://{place}/a.tar', f'layout://{index}:v1').assert_success()
    listed = json.loads((index / 'index.json').read_bytes())['manifests'][0]
    listed.pop('annotations')
    raw = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': [
        {**listed, 'platform': {'os': 'linux', 'architecture': each}} for each in ('amd64', 'arm64')]}).encode()
    (index / 'blobs/sha256' / Digest.of(raw).hex).write_bytes(raw)
    (index / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [
        {'mediaType': INDEX, 'digest': Digest.of(raw), 'size': len(raw),
         'annotations': {'org.opencontainers.image.ref.name': 'v1'}}]}))
    for proxy, same in ((plain, True), (filtering, False)):
        target = f'docker://{proxy.host}/all/many:v1'
        skopeo('copy', '-q', '--all', '--preserve-digests', '--dest-tls-verify=false', f'oci:{index}:v1', target)
        found = HTTP.get(f'http://{proxy.host}/v2/all/many/manifests/v1', headers={'Accept': INDEX})
        assert (found.content == raw) is same and len(found.json()['manifests']) == 2
        skopeo('copy', '-q', '--all', '--src-tls-verify=false', target, f'dir:{tmp_path}/{same}')


def test_oras_and_cosign(filtering: Served, plain: Served, place: Path, tmp_path: Path) -> None:
    """An artifact, what is attached to it, and the signature of an image, as it is downstream."""
    with require_service(lambda: nullcontext((oras_program(), cosign_program()))) as (oras, cosign):
        def run(program: Path, *words: str) -> str:
            environment = {'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path), 'COSIGN_PASSWORD': ''}
            done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                                  env=environment)
            assert done.returncode == 0, done.stderr
            return done.stdout
        (tmp_path / 'thing').write_text('a thing')
        (tmp_path / 'sbom').write_text('what it is made of')
        make_keys(tmp_path)
        for proxy in (plain, filtering):
            name = f'{proxy.host}/oras/thing:v1'
            run(oras, 'push', '--plain-http', '--artifact-type', 'a/thing', name, 'thing:text/plain')
            run(oras, 'attach', '--plain-http', '--artifact-type', 'a/sbom', name, 'sbom:text/plain')
            found = json.loads(run(oras, 'discover', '--plain-http', '--format', 'json', name))
            assert [each['artifactType'] for each in found['manifests']] == ['a/sbom']
            run_here('process', f'tar://{place}/a.tar', f'registry://{proxy.host}/cosign/app:v1', '--no-verify'
                     ).assert_success()
            digest = HTTP.head(f'http://{proxy.host}/v2/cosign/app/manifests/v1').headers['docker-content-digest']
            sign(tmp_path, f'{proxy.host}/cosign/app@{digest}')
            tree = run(cosign, 'tree', '--allow-insecure-registry', f'{proxy.host}/cosign/app@{digest}')
            assert 'Signatures' in tree
        run(cosign, 'copy', '--allow-insecure-registry', f'{plain.host}/cosign/app:v1', f'{plain.host}/cosign/copy:v1')
        run(oras, 'cp', '-r', '--from-plain-http', '--to-plain-http', f'{plain.host}/oras/thing:v1',
            f'{plain.host}/oras/copy:v1')


def pull(daemon: DockerDaemon, name: str) -> None:
    """Pull an image by http, which Docker does from this machine without being told."""
    if isinstance(daemon, PodmanService):
        daemon.podman('pull', '--tls-verify=false', name)
    else:
        daemon.run('pull', name)


@pytest.mark.parametrize('daemon', ['docker_daemon', 'podman'])
def test_an_image_that_is_pulled_through_runs_and_is_asked_for_once(
        daemon: str, request: pytest.FixtureRequest, registry: Registry, occystrap: CommandLine, tmp_path: Path,
) -> None:
    """Filtered on its way from upstream, verified downstream; pulling it again asks upstream for nothing."""
    service: DockerDaemon = request.getfixturevalue(daemon)
    layers = [*sample_layers(), program_layer()]
    archive = write_docker_archive(tmp_path / 'runs.tar', sample_config(layers), layers, 'once:v1')
    run_here('process', f'tar://{archive}', f'registry://{registry.host}/upstream/once:{daemon}').assert_success()
    with proxied(occystrap, '-d', f'registry://{registry.host}/once', '-u', f'registry://{registry.host}/upstream',
                 '-f', FILTER, '--storage', tmp_path / 'p') as proxy:
        name = f'{proxy.host}/once:{daemon}'
        pull(service, name)
        assert run(service, name).startswith('ldconfig')
        service.run('rmi', '-f', name)
        requests = [each for each in registry.requests() if '/upstream/' in each]
        pull(service, name)
        service.run('rmi', '-f', name)
        assert requests and [each for each in registry.requests() if '/upstream/' in each] == requests
        numbers = HTTP.get(f'http://{proxy.host}/metrics').text
        assert 'occystrap_images_total{direction="pull",outcome="verified"} 1.0' in numbers
        assert HTTP.get(f'http://{proxy.host}/readyz').status_code == 200
        assert proxy.stop() == 0 and proxy.hear() == 'Stopping: requests under way have 60 seconds to end'


def test_a_registry_that_keeps_what_it_has(filtering: Served, registry: Registry, place: Path) -> None:
    """Distribution takes a blob that it has without looking at it: the push fails, and says what to do."""
    def push() -> CommandResult:
        return run_here('process', f'tar://{place}/a.tar', f'registry://{filtering.host}/damaged/app:v1', '--no-verify',
                        '--retries=0')
    push().assert_success()
    found = HTTP.get(f'http://{filtering.host}/v2/damaged/app/manifests/v1').json()
    blob = registry.blob_path(found['layers'][0]['digest'])
    good = blob.read_bytes()
    blob.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    assert HTTP.get(f'http://{filtering.host}/v2/damaged/app/blobs/{found["layers"][0]["digest"]}').status_code == 502
    assert 'is damaged downstream, and sending it again has not mended it: remove it there' in push().assert_code(1).err
    blob.write_bytes(good)
    push().assert_success()
