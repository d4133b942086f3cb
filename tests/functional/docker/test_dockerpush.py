"""dockerpush:// with each real daemon: what it pushes arrives, and neither tag nor file is left, whatever happens."""
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from occystrap_core import InvalidImage, Location, Settings
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_docker.push.input import DockerPushInput
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon, daemon_flags
from tests.services.processes import running
from tests.services.registry import Registry
from tests.services.requirements import require_program, require_root
from tests.unit.docker.layouts import make_tar


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own for an image, without a tag."""
    letters = ''.join(letter if letter.isalnum() else '-' for letter in request.node.name.lower())
    return f'pushed/{letters.strip("-")}'


def layers_of(name: str) -> list[bytes]:
    """Layers that no other test has, one of them twice."""
    layers = [*sample_layers(name), make_tar([('etc/mark', f'mark {name}\n'.encode() * 50_000)])]
    return [*layers, layers[2]]


def load(daemon: DockerDaemon, directory: Path, name: str, layers: list[bytes]) -> None:
    archive = write_docker_archive(directory / 'source.tar', sample_config(layers), layers, f'{name}:v1')
    daemon.run('image', 'prune', '-f')  # what other tests left without a name
    daemon.run('load', '-i', archive)
    archive.unlink()


def uri(name: str, daemon: DockerDaemon, *options: str) -> str:
    return '&'.join([f'dockerpush://{name}:v1?socket={daemon.socket}', *options])


def assert_nothing_is_left(daemon: DockerDaemon, name: str, temporary: Path | None = None) -> None:
    """The image has its own name alone, and nothing else is there under a name that a push needed."""
    listed = daemon.run('images', '-a', '--digests', '--format', '{{.Repository}}:{{.Tag}}').splitlines()
    assert any(line.endswith(f'{name}:v1') for line in listed)  # Podman puts a host before it
    assert not [line for line in listed if '/occystrap/' in line or line.startswith('<none>')]
    assert temporary is None or not list(temporary.iterdir())


def test_an_image_of_many_layers(containerd_daemon: DockerDaemon, name: str, registry: Registry,
                                 occystrap: CommandLine, tmp_path: Path) -> None:
    """containerd pushes all of them at once, each over connections of its own."""
    layers = [make_tar([('number', f'{name} {number}'.encode())]) for number in range(120)]
    load(containerd_daemon, tmp_path, name, layers)
    occystrap('process', uri(name, containerd_daemon), f'registry://{registry.host}/{name}:v1').assert_success()
    assert_nothing_is_left(containerd_daemon, name)


def test_there_it_is(daemon: DockerDaemon, name: str, registry: Registry, occystrap: CommandLine, tmp_path: Path,
                     ) -> None:
    layers = layers_of(name)
    load(daemon, tmp_path, name, layers)
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    targets = [f'tar://{tmp_path}/out.tar', f'registry://{registry.host}/{name}:v1']
    less = {'docker26-daemon': targets[:1], 'containerd-daemon': targets[1:]}  # two of them do for each destination
    for target in less.get(name.removeprefix('pushed/test-there-it-is-'), targets):
        done = occystrap('-O', 'json', 'process', uri(name, daemon), target, '--verify=full', '--temp-dir', temporary)
        assert done.assert_success().json()['images'][0]['image_id'] == Digest.of(sample_config(layers))
        assert_nothing_is_left(daemon, name, temporary)
    daemon.run('rmi', '-f', f'{name}:v1')


def test_docker_leaves_out_what_the_destination_has(docker_daemon: DockerDaemon, name: str, tmp_path: Path) -> None:
    load(docker_daemon, tmp_path, name, layers_of(name))
    options = {'socket': str(docker_daemon.socket), 'fallback': False}
    images = DockerPushInput(Location('dockerpush', f'{name}:v1', options, {}), Settings(temporary=str(tmp_path)))
    reference, = images.references()
    with images.open(reference) as image:
        blobs = [layer.descriptor for layer in image.arrivals()]
    with images.open(reference) as again:
        for layer in again.arrivals_beside({blob.digest: blob.size for blob in blobs if blob}.get):
            with pytest.raises(InvalidImage, match='was not pushed'):
                layer.stored()
    assert again.manifest == image.manifest
    assert_nothing_is_left(docker_daemon, name, tmp_path)


def test_a_layout_gets_only_what_it_lacks(docker_daemon: DockerDaemon, name: str, occystrap: CommandLine,
                                          tmp_path: Path) -> None:
    load(docker_daemon, tmp_path, name, layers_of(name))
    for kept, again in (('streamed', 'first'), ('descriptor', 'second')):
        occystrap('process', uri(name, docker_daemon), f'layout://out:{again}', '--receipt', again).assert_success()
        expected = json.loads((occystrap.directory / again).read_text())['expectations']
        assert {each['evidence'] for each in expected if each['kind'] == 'layer'} == {kept}
    occystrap('verify', 'second', '--verify=full').assert_success()


def test_into_a_directory_with_a_filter(docker_daemon: DockerDaemon, name: str, occystrap: CommandLine, tmp_path: Path,
                                        ) -> None:
    load(docker_daemon, tmp_path, name, layers_of(name))
    occystrap('process', uri(name, docker_daemon), f'dir://{tmp_path}/out', '-f', 'exclude:pattern=etc/mark',
              '--verify=full').assert_success()
    assert not [path for path in (tmp_path / 'out').rglob('*') if path.is_file() and b'mark pu' in path.read_bytes()]
    assert_nothing_is_left(docker_daemon, name)


def test_a_destination_that_fails(docker_daemon: DockerDaemon, name: str, occystrap: CommandLine, tmp_path: Path,
                                  ) -> None:
    load(docker_daemon, tmp_path, name, layers_of(name))
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    failed = occystrap('process', uri(name, docker_daemon), f'tar://{tmp_path}/out.tar', '--temp-dir', temporary,
                       wrapper=('prlimit', '--fsize=100000')).assert_code(1)
    assert failed.errors[-1].startswith('occystrap: error: ') and 'out.tar' in failed.err
    assert_nothing_is_left(docker_daemon, name, temporary)
    docker_daemon.run('rmi', '-f', f'{name}:v1')


@pytest.mark.parametrize(('kind', 'number'), [('docker_daemon', signal.SIGINT), ('podman', signal.SIGTERM)])
def test_a_signal_in_mid_push(kind: str, number: signal.Signals, name: str, request: pytest.FixtureRequest,
                              occystrap: CommandLine, tmp_path: Path) -> None:
    daemon: DockerDaemon = request.getfixturevalue(kind)
    load(daemon, tmp_path, name, [make_tar([('random', os.urandom(48 << 20))])])
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    process = occystrap.start('process', uri(name, daemon), f'tar://{tmp_path}/out.tar', '--temp-dir', temporary,
                              stderr=subprocess.PIPE)
    while not list(temporary.glob('*/temporary/*')):  # the upload has begun
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    started = time.monotonic()
    output = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 128 + number and time.monotonic() - started < 3, output
    assert 'occystrap: error: interrupted' in output
    assert_nothing_is_left(daemon, name, temporary)
    daemon.run('rmi', '-f', f'{name}:v1')


def test_a_daemon_that_cannot_push_says_why(containerd_daemon: DockerDaemon, name: str, occystrap: CommandLine,
                                            tmp_path: Path) -> None:
    layers = layers_of(name)
    load(containerd_daemon, tmp_path, name, layers)
    lost, = (containerd_daemon.socket.parent / 'data').rglob(f'blobs/sha256/{Digest.of(layers[3]).hex}')
    lost.unlink()
    failed = occystrap('process', uri(name, containerd_daemon), f'dir://{tmp_path}/out').assert_code(1)
    assert f'could not push {name}:v1: ' in failed.err and len(failed.errors) == 1
    assert_nothing_is_left(containerd_daemon, name)
    containerd_daemon.run('rmi', '-f', f'{name}:v1')


@contextmanager
def secluded_daemon() -> Iterator[DockerDaemon]:
    """Docker in a network namespace of its own, like a rootless one: its 127.0.0.1 is not this one."""
    require_root('dockerd')
    program = require_program('dockerd', 'docker.io')
    with service_directory('secluded') as directory:
        daemon = DockerDaemon(directory / 'docker.sock', directory / 'log')
        command = ['unshare', '-m', '-n', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', program]
        with running([*command, *daemon_flags(directory)], log=daemon.log, ready=daemon.answers):
            yield daemon


def test_a_daemon_that_cannot_come_here(name: str, occystrap: CommandLine, tmp_path: Path) -> None:
    with require_service(secluded_daemon) as daemon:
        load(daemon, tmp_path, name, layers_of(name))
        failed = occystrap('process', uri(name, daemon), f'tar://{tmp_path}/out.tar').assert_code(1)
        assert 'did not reach the registry' in failed.err and 'docker://' in failed.err
        assert 'fallback=true' in failed.err and len(failed.errors) == 1
        done = occystrap('process', uri(name, daemon, 'fallback=true'), f'tar://{tmp_path}/out.tar').assert_success()
        assert f'{name}:v1 is exported instead of pushed: the daemon at ' in done.err
        assert len(done.err.splitlines()) == 2
        assert_nothing_is_left(daemon, name)
