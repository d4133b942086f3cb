"""Docker, podman, containerd, skopeo, oras and cosign push to `occystrap serve` and pull from it."""
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import bcrypt
import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.functional.images import skopeo
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine
from tests.services.containerd import containerd
from tests.services.cosign import check, copy, cosign_program, make_keys, sign, tree
from tests.services.docker_daemon import DockerDaemon
from tests.services.oras import oras_program
from tests.services.podman import PodmanService
from tests.services.served import Served, served
from tests.unit.registry.images import HTTP


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sample image as an archive, and a file of users."""
    place = tmp_path_factory.mktemp('serve')
    write_docker_archive(place / 'a.tar', sample_config(sample_layers()), sample_layers(), 'sample-served:v1')
    (place / 'htpasswd').write_text(f'ann:{bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}\n')
    return place


@pytest.fixture(scope='module')
def registry(place: Path) -> Iterator[Served]:
    """One that everybody may pull from, and Ann push to."""
    with served(CommandLine(place), '--storage', place / 'storage', '--htpasswd', place / 'htpasswd',
                '--anonymous-pull') as running:
        yield running


@pytest.mark.parametrize('daemon', ['docker_daemon', 'docker26_daemon', 'containerd_daemon'])
def test_docker(daemon: str, registry: Served, place: Path, request: pytest.FixtureRequest) -> None:
    docker_daemon: DockerDaemon = request.getfixturevalue(daemon)
    name = f'{registry.host}/{daemon}/app:v1'
    docker_daemon.run('load', '-i', place / 'a.tar')
    docker_daemon.run('tag', 'sample-served:v1', name)
    image = docker_daemon.run('image', 'inspect', '--format', '{{.Id}}', name)
    try:
        with pytest.raises(RuntimeError, match='(?i)log in first|unauthorized|denied'):
            docker_daemon.run('push', name, config=place / 'nobody')
        docker_daemon.run('login', '-u', 'ann', '-p', 'secret', registry.host, config=place / daemon)
        docker_daemon.run('push', name, config=place / daemon)
        docker_daemon.run('rmi', name, 'sample-served:v1')
        docker_daemon.run('pull', name, config=place / 'nobody')
        assert docker_daemon.run('image', 'inspect', '--format', '{{.Id}}', name) == image
    finally:
        docker_daemon.run('rmi', '-f', image)


def test_podman(registry: Served, podman: PodmanService, place: Path) -> None:
    name = f'{registry.host}/podman/app:v1'
    podman.podman('load', '-i', place / 'a.tar')
    podman.podman('push', '--tls-verify=false', '--creds', 'ann:secret', 'sample-served:v1', name)
    image = podman.podman('image', 'inspect', '--format', '{{.Id}}', 'sample-served:v1')
    podman.podman('rmi', '-f', image)
    podman.podman('pull', '--tls-verify=false', name)
    assert podman.podman('image', 'inspect', '--format', '{{.Id}}', name) == image
    podman.podman('rmi', '-f', image)


def test_containerd(registry: Served, place: Path) -> None:
    """By its own client, which pushes what it was given and keeps what it pulls, digest for digest."""
    name = f'{registry.host}/ctr/app:v1'
    with require_service(containerd) as daemon:
        def images() -> dict[str, str]:
            lines = [line.split() for line in daemon.ctr('images', 'ls').splitlines()[1:]]
            return {words[0]: words[2] for words in lines}
        daemon.ctr('images', 'import', '--no-unpack', place / 'a.tar')
        (imported, digest), = images().items()
        daemon.ctr('images', 'tag', imported, name)
        with pytest.raises(RuntimeError, match='(?i)authoriz|login|log in'):
            daemon.ctr('images', 'push', '--plain-http', name)
        daemon.ctr('images', 'push', '--plain-http', '--user', 'ann:secret', name)
        daemon.ctr('images', 'rm', '--sync', imported, name)
        assert images() == {} and daemon.ctr('content', 'ls', '-q') == ''
        daemon.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', name)
        assert images() == {name: digest}
        raw = HTTP.get(f'http://{registry.host}/v2/ctr/app/manifests/{digest}').content
        parts = json.loads(raw)
        held = daemon.ctr('content', 'ls', '-q').split()
        assert Digest.of(raw) == digest and {each['digest'] for each in (parts['config'], *parts['layers'])} < {*held}


@pytest.mark.parametrize('form', ['v2s2', 'oci'])
def test_skopeo(form: str, registry: Served, place: Path, program: Callable[..., str], tmp_path: Path) -> None:
    program('skopeo')
    target = f'docker://{registry.host}/skopeo/{form}:v1'
    skopeo('copy', '-q', '--format', form, '--dest-tls-verify=false', '--dest-creds', 'ann:secret',
           f'docker-archive:{place}/a.tar', target)
    skopeo('copy', '-q', '--src-tls-verify=false', target, f'dir:{tmp_path}/out')
    manifest = (tmp_path / 'out/manifest.json').read_bytes()
    kind = json.loads(manifest)['mediaType']
    assert Digest.of(manifest) == json.loads(skopeo('inspect', '--tls-verify=false', target))['Digest']
    assert kind.startswith('application/vnd.docker' if form == 'v2s2' else 'application/vnd.oci')


def test_skopeo_copies_all_of_an_index(registry: Served, place: Path, program: Callable[..., str], tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    program('skopeo')
    monkeypatch.setenv('OCCYSTRAP_USERNAME', 'ann')
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'secret')
    run_here('process', f'tar://{place}/a.tar', f'registry://{registry.host}/all/one:v1').assert_success()
    first, second = f'docker://{registry.host}/all/many:v1', f'docker://{registry.host}/all/copy:v1'
    index = tmp_path / 'index'
    run_here('process', f'registry://{registry.host}/all/one:v1', f'layout://{index}:v1').assert_success()
    listed = json.loads((index / 'index.json').read_bytes())['manifests'][0]
    listed.pop('annotations')
    raw = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json', 'manifests': [
        {**listed, 'platform': {'os': 'linux', 'architecture': each}} for each in ('amd64', 'arm64')]}).encode()
    (index / 'blobs/sha256' / Digest.of(raw).hex).write_bytes(raw)
    (index / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [
        {'mediaType': 'application/vnd.oci.image.index.v1+json', 'digest': Digest.of(raw), 'size': len(raw),
         'annotations': {'org.opencontainers.image.ref.name': 'v1'}}]}))
    login = ('--dest-tls-verify=false', '--dest-creds', 'ann:secret')
    skopeo('copy', '-q', '--all', '--preserve-digests', *login, f'oci:{index}:v1', first)
    skopeo('copy', '-q', '--all', '--preserve-digests', '--src-tls-verify=false', *login, first, second)
    accepted = {'Accept': 'application/vnd.oci.image.index.v1+json'}
    assert HTTP.get(f'http://{registry.host}/v2/all/copy/manifests/v1', headers=accepted).content == raw


def test_oras_and_cosign(occystrap: CommandLine, place: Path, tmp_path: Path) -> None:
    """An artifact, what is attached to it, and a signature, as the referrers API lists them."""
    with require_service(lambda: nullcontext((oras_program(), cosign_program()))) as (oras, _), served(
            occystrap, '--storage', tmp_path / 's') as registry:
        def run(*words: str) -> str:
            done = subprocess.run([oras, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout
        name = f'{registry.host}/oras/thing:v1'
        (tmp_path / 'thing').write_text('a thing')
        (tmp_path / 'sbom').write_text('what it is made of')
        run('push', '--plain-http', '--artifact-type', 'a/thing', name, 'thing:text/plain')
        run('attach', '--plain-http', '--artifact-type', 'a/sbom', name, 'sbom:text/plain')
        found = json.loads(run('discover', '--plain-http', '--format', 'json', '--artifact-type', 'a/sbom', name))
        assert [each['artifactType'] for each in found['manifests']] == ['a/sbom']
        (tmp_path / 'pulled').mkdir()
        run('pull', '--plain-http', '-o', 'pulled', name)
        assert (tmp_path / 'pulled/thing').read_text() == 'a thing'
        run_here('process', f'tar://{place}/a.tar', f'registry://{registry.host}/cosign/app:v1').assert_success()
        digest = HTTP.head(f'http://{registry.host}/v2/cosign/app/manifests/v1').headers['docker-content-digest']
        make_keys(tmp_path)
        sign(tmp_path, f'{registry.host}/cosign/app@{digest}')
        tags = HTTP.get(f'http://{registry.host}/v2/cosign/app/tags/list').json()['tags']
        assert tags == [digest.replace(':', '-') + '.sig', 'v1']
        assert tags[0] in tree(tmp_path, f'{registry.host}/cosign/app@{digest}')
        copy(tmp_path, f'{registry.host}/cosign/app@{digest}', f'{registry.host}/cosign/copy:v1')
        check(tmp_path, f'{registry.host}/cosign/copy@{digest}')
