import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.functional.docker.marked_image import tars
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon, daemon_flags
from tests.services.docker_daemon import docker_daemon as start_docker
from tests.services.processes import running
from tests.services.requirements import require_program
from tests.services.trixie import INSIDE, trixie_command

DAEMONS = ['docker_daemon', 'docker26_daemon', 'containerd_daemon', 'podman']


@contextmanager
def start_containerd() -> Iterator[DockerDaemon]:
    require_program('docker', 'docker.io')
    with service_directory('containerd') as directory:
        (directory / 'daemon.json').write_text(json.dumps({'features': {'containerd-snapshotter': True}}))
        daemon = DockerDaemon(directory / 'docker.sock', directory / 'log')
        flags = ['--config-file', f'{INSIDE}/daemon.json', *daemon_flags(INSIDE)]
        with running(trixie_command(directory, ['dockerd', *flags]), log=daemon.log, ready=daemon.answers):
            yield daemon


@pytest.fixture(scope='session')
def containerd_daemon() -> Iterator[DockerDaemon]:
    """Docker 26.1 with containerd's image store, whose image IDs are digests of manifests; shared."""
    with require_service(start_containerd) as service:
        yield service


@pytest.fixture(params=DAEMONS)
def daemon(request: pytest.FixtureRequest) -> DockerDaemon:
    """Each of the daemons in turn; shared: use image names of your own."""
    started: DockerDaemon = request.getfixturevalue(request.param)
    return started


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, fit for a repository."""
    return ''.join(letter if letter.isalnum() else '-' for letter in request.node.name.lower()).strip('-')


@pytest.fixture
def archive(mark: str, tmp_path: Path) -> Path:
    """An archive with the image of `tars(mark)`."""
    layers = tars(mark)
    return write_docker_archive(tmp_path / 'source.tar', sample_config(layers), layers, f'made/{mark}:v1')


@pytest.fixture
def target(mark: str, daemon: DockerDaemon) -> Iterator[str]:
    """A name in the daemon, without docker:// and options; removed at the end."""
    yield f'written/{mark}:v1'
    try:
        daemon.run('rmi', '-f', f'written/{mark}:v1')
    except RuntimeError:
        return


@pytest.fixture
def killable() -> Iterator[tuple[DockerDaemon, Callable[[], None]]]:
    """A daemon for one test, and a function that kills it."""
    with require_service(start_docker) as service:
        def kill() -> None:
            os.kill(int((service.socket.parent / 'pid').read_text()), signal.SIGKILL)
            time.sleep(0.2)
        yield service, kill
