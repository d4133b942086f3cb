"""The services that stand for the hosts of the pages; what a fixture returns are variables of the reader's shell."""
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.functional.pages.blocks import ROOT, pages
from tests.functional.pages.reader import Reader
from tests.functional.pages.stock import fill, replace, write_builds, write_runnable
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon
from tests.services.localstack import ObjectStorage
from tests.services.podman import PodmanService
from tests.services.registry import PASSWORD, USER, Registry, certified_registry, plain_registry
from tests.services.requirements import require_program, require_root
from tests.services.shell_commands import ShellCommands, shell_commands
from tests.services.socks_proxy import socks_proxy

SSH = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexport DOCKER_HOST={address}\nexec sh -c "$3"\n'
"""Stands for the network and the login; the daemon on the other side is real."""
TAGS = ('app:v1', 'team/app:v1', 'team/app:v1.1', 'debian:12')
Variables = dict[str, str]


@pytest.fixture(scope='session')
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The registry that pages read from."""
    with require_service(plain_registry) as registry:
        fill(registry, tmp_path_factory.mktemp('stock'))
        (registry.root / 'docker').rename(registry.root / 'full')
        yield registry


@pytest.fixture(scope='session')
def far() -> Iterator[Registry]:
    """The registry that pages write to."""
    with require_service(plain_registry) as registry:
        yield registry


@pytest.fixture(scope='session')
def shells() -> Iterator[ShellCommands]:
    """The command `occystrap` of shells, also those of other users."""
    with service_directory('shells') as directory:
        directory.chmod(0o755)
        with shell_commands(directory / 'bin') as commands:
            yield commands


@pytest.fixture
def follow(near: Registry, far: Registry, shells: ShellCommands, tmp_path: Path, request: pytest.FixtureRequest,
           ) -> Callable[[str], None]:
    """Runs a page, before the registries as they are at first, and with two builds of one thing."""
    replace(near.root, near.root / 'full')
    replace(far.root, None)
    write_builds(tmp_path)

    def run(name: str) -> None:
        page = pages()[name]
        variables = {'ROOT': str(ROOT), 'BIN': ''}
        for service in page.services:
            variables |= request.getfixturevalue(service)
        Reader(tmp_path, shells, near, far).follow(page, variables)
    return run


@pytest.fixture
def login(private_registry: Registry) -> Variables:
    """A registry that asks who it is, and the answer."""
    return {'PRIVATE': private_registry.host, 'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD,
            'ROBOT': USER, 'TOKEN': PASSWORD}


@pytest.fixture
def proxies(near: Registry) -> Iterator[Variables]:
    """A proxy that speaks both ways, by which alone `registry.example` can be reached; it has TLS."""
    with (require_service(partial(certified_registry, name='registry.example', root=near.root)) as registry,
          socks_proxy(registry.host) as proxy):
        yield {'PROXY': proxy.host, 'SSL_CERT_FILE': str(registry.ca)}
        assert proxy.requests.count('registry.example:443') > 1


@pytest.fixture(scope='module')
def daemons(docker_daemon: DockerDaemon, docker26_daemon: DockerDaemon, podman: PodmanService,
            tmp_path_factory: pytest.TempPathFactory) -> Iterator[Variables]:
    """Docker with an image of several names, Podman, and another Docker behind ssh; what pages put there goes."""
    directory = tmp_path_factory.mktemp('daemons')
    before = {daemon: images(daemon) for daemon in (docker_daemon, docker26_daemon, podman)}
    docker_daemon.run('load', '-q', '-i', write_runnable(directory / 'loaded.tar', *TAGS))
    (directory / 'ssh').write_text(SSH.format(address=docker26_daemon.address))
    (directory / 'ssh').chmod(0o755)
    yield {'DOCKER_HOST': docker_daemon.address, 'CONTAINER_HOST': podman.address, 'BIN': str(directory),
           'THERE': docker26_daemon.address}
    for daemon, others in before.items():
        if added := images(daemon) - others:
            daemon.run('rmi', '-f', *added)


def images(daemon: DockerDaemon) -> set[str]:
    """Return the IDs of what a daemon has."""
    return {*daemon.run('image', 'ls', '-q', '--no-trunc').split()}


@pytest.fixture
def two_users(shells: ShellCommands) -> Variables:
    """Root, with runc, and a directory for somebody else."""
    with require_service(lambda: nullcontext(require_root('owners of files'))):
        directory = shells.directory.parent / 'user'
    with require_service(lambda: nullcontext(require_program('runc'))):
        directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    return {'USER_DIRECTORY': str(directory)}


@pytest.fixture
def htpasswd(program: Callable[..., str]) -> Variables:
    """Apache's program for files of users."""
    program('htpasswd', 'apache2-utils')
    return {}


@pytest.fixture
def bucket(object_storage: ObjectStorage) -> Variables:
    """A bucket named `bucket`, and who may use it."""
    object_storage.bucket('bucket')
    return {name: value for name, value in os.environ.items() if name.startswith('AWS_')}
