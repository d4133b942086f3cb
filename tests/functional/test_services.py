"""The services themselves: each one answers, and the real image is what it says it is."""

import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.docker_daemon import DockerDaemon
from tests.services.podman import PodmanService
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.trixie import run_in_trixie


@pytest.fixture(autouse=True)
def peers(program: Callable[..., str]) -> None:
    """All tests here look at the services with these programs."""
    program('skopeo')


def inspect(registry: Registry, image: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """What skopeo says of the image."""
    command = ['skopeo', 'inspect', '--raw', '--tls-verify=false', *flags, f'docker://{registry.host}/{image}']
    return subprocess.run(command, capture_output=True, text=True)


def test_registry_holds_what_was_pushed(registry: Registry) -> None:
    manifest = put_tiny_image(registry, 'services/tiny', 'v1')
    assert registry.tag_digest('services/tiny', 'v1') == manifest['digest'] in registry.blobs()
    assert json.loads(inspect(registry, 'services/tiny:v1').stdout)['layers']
    assert 'GET /v2/services/tiny/manifests/v1 200' in registry.requests()


def test_registry_shows_damage_immediately(registry_factory: Callable[[], Registry]) -> None:
    registry = registry_factory()
    digest = put_tiny_image(registry, 'tiny', 'v1')['digest']
    assert inspect(registry, 'tiny:v1').returncode == 0
    registry.remove_blob(digest)
    assert inspect(registry, 'tiny:v1').returncode != 0


@pytest.mark.parametrize(('fixture', 'anonymous_reads'), [('private_registry', False), ('token_registry', True)])
def test_closed_registries_ask_for_the_password(
    fixture: str, anonymous_reads: bool, registry: Registry, request: pytest.FixtureRequest,
) -> None:
    closed: Registry = request.getfixturevalue(fixture)
    put_tiny_image(registry, 'services/closed', 'v1')
    copy = ['skopeo', 'copy', '--src-tls-verify=false', '--dest-tls-verify=false',
            f'docker://{registry.host}/services/closed:v1', f'docker://{closed.host}/closed:v1']
    assert subprocess.run(copy, capture_output=True).returncode != 0
    subprocess.run([*copy, f'--dest-creds={closed.user}:{closed.password}'], capture_output=True, check=True)
    assert (inspect(closed, 'closed:v1').returncode == 0) == anonymous_reads
    assert inspect(closed, 'closed:v1', '--creds=tester:wrong').returncode != 0


def test_tls_registry_answers(tls_registry: Registry) -> None:
    trust = ssl.create_default_context(cafile=str(tls_registry.ca))
    trust.set_alpn_protocols(['h2'])
    host, _, port = tls_registry.host.partition(':')
    with socket.create_connection((host, int(port))) as plain, trust.wrap_socket(plain, server_hostname=host) as secure:
        assert secure.selected_alpn_protocol() == 'h2'


def test_docker_saves_the_legacy_layout(docker_daemon: DockerDaemon, tmp_path: Path) -> None:
    docker_daemon.run('import', _empty_tar(tmp_path), 'services:legacy')
    docker_daemon.run('save', '-o', tmp_path / 'saved.tar', 'services:legacy')
    assert 'index.json' not in _names(tmp_path / 'saved.tar')


def test_docker26_saves_the_oci_layout(docker26_daemon: DockerDaemon, tmp_path: Path) -> None:
    docker26_daemon.run('import', _empty_tar(tmp_path), 'services:oci')
    docker26_daemon.run('save', '-o', tmp_path / 'saved.tar', 'services:oci')
    assert 'index.json' in _names(tmp_path / 'saved.tar')
    assert run_in_trixie(tmp_path, 'skopeo', 'inspect', 'docker-archive:/srv/saved.tar')


def test_podman_shows_what_the_api_loaded(podman: PodmanService, tmp_path: Path) -> None:
    podman.run('import', _empty_tar(tmp_path), 'localhost/services:podman')
    assert 'localhost/services' in podman.podman('images')


def test_real_index_has_two_platforms(real_registry: Registry, real_image: RealImage) -> None:
    manifests = json.loads(inspect(real_registry, 'multi:v1').stdout)['manifests']
    assert [each['platform']['architecture'] for each in manifests] == ['amd64', 'arm64']
    assert manifests[0]['digest'] == real_image.manifest_digest


def _empty_tar(directory: Path) -> Path:
    tar = directory / 'empty.tar'
    subprocess.run(['tar', '-cf', tar, '-T', '/dev/null'], check=True)
    return tar


def _names(archive: Path) -> list[str]:
    return subprocess.run(['tar', '-tf', archive], capture_output=True, text=True, check=True).stdout.split()
