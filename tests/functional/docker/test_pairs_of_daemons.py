"""Each daemon with each other scheme, both ways, at both levels; and an image that runs in daemon after daemon."""
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config
from tests.functional.archives import write_docker_archive
from tests.functional.docker.conftest import DAEMONS
from tests.functional.docker.marked_image import tars, uri
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.podman import PodmanService
from tests.services.registry import Registry
from tests.services.requirements import require_program

PLACES = ['registry://{host}/daemons/{mark}:v1', 'dir://dir', 'tar://docker.tar', 'tar://oci.tar?format=oci',
          'layout://layout']
UNPACKED = ['oci://bundle', 'mounts://mounts']


@pytest.fixture
def copy(occystrap: CommandLine) -> Callable[[str, str], str]:
    """Copies an image, verified fast, keeps the receipt in the file `receipts`, and returns the image's ID."""
    def copy(source: str, target: str) -> str:
        done = occystrap('-O', 'json', 'process', source, target, '--receipt', 'receipt').assert_success()
        with (occystrap.directory / 'receipts').open('a') as receipts:
            receipts.write((occystrap.directory / 'receipt').read_text())
        return str(done.json()['images'][0]['image_id'])
    return copy


def test_out_and_in_again(daemon: DockerDaemon, archive: Path, target: str, mark: str, registry: Registry,
                          copy: Callable[[str, str], str], occystrap: CommandLine) -> None:
    layers = tars(mark)
    image_id, there = Digest.of(sample_config(layers)), uri(target, daemon)
    copy(f'tar://{archive}', there)
    for place in (each.format(host=registry.host, mark=mark) for each in PLACES):
        assert copy(there, place) == image_id, place
        daemon.run('rmi', '-f', target)
        assert copy(place.partition('?')[0], there) == image_id, place
        listed = daemon.run('image', 'inspect', '--format', '{{range .RootFS.Layers}}{{.}} {{end}}', target).split()
        assert listed == [Digest.of(layer) for layer in layers]
    for place in UNPACKED:
        assert copy(there, place) == image_id, place
        found = [each.read_bytes() for each in (occystrap.directory / place.partition('//')[2]).rglob('mark')]
        assert found and all(each.startswith(f'mark {mark}'.encode()) for each in found)
    verified = occystrap('verify', 'receipts', '--verify=full').assert_success().err.splitlines()[-1]
    assert verified.endswith(f', {len(PLACES) + len(UNPACKED) + 1}/8 verified')  # the daemon's counts once


def program_layer() -> bytes:
    """A layer with a program that needs no other file: ldconfig, which has no dynamic libraries."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as archive, open('/sbin/ldconfig', 'rb') as file:
        archive.addfile(archive.gettarinfo('/sbin/ldconfig', 'usr/bin/ldconfig'), file)
    return target.getvalue()


def run(daemon: DockerDaemon, name: str) -> str:
    """The output of the program in the image; Podman's service does not give it to Docker's command."""
    command = ['--rm', '--network', 'none', name, '/usr/bin/ldconfig', '--version']
    if isinstance(daemon, PodmanService):
        limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']  # no more than the tests may have
        return daemon.podman('--runtime', require_program('runc'), 'run', *limits, *command)
    return daemon.run('run', *command)


def test_it_runs_wherever_it_gets(mark: str, tmp_path: Path, request: pytest.FixtureRequest,
                                  copy: Callable[[str, str], str]) -> None:
    layers = [*tars(mark), program_layer()]
    source = f'tar://{write_docker_archive(tmp_path / "runs.tar", sample_config(layers), layers, "runs:v1")}'
    output = set()
    for number, name in enumerate([*DAEMONS, DAEMONS[0]]):
        daemon: DockerDaemon = request.getfixturevalue(name)
        target = f'runs/{mark}:v{number}'
        assert copy(source, uri(target, daemon)) == Digest.of(sample_config(layers))
        output.add(run(daemon, target))
        source = uri(target, daemon)
    words, = output
    assert words.startswith('ldconfig (')
