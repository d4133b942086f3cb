"""Each way to a real daemon: TLS with certificates, contexts of the docker command, ssh, Podman's own places."""
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.conftest import require_service
from tests.functional.archives import write_docker_archive
from tests.services.certificates import Authority, docker_certificates
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.docker_daemon import docker_daemon as start_docker
from tests.services.podman import PodmanService
from tests.services.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class SecuredDaemon:
    """A daemon that listens with TLS and requires certificates; `certificates` are good, `nameless` has but the CA."""

    daemon: DockerDaemon
    host: str
    certificates: Path
    nameless: Path
    strange: Path


@pytest.fixture(scope='module')
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredDaemon]:
    """A daemon with an authority of its own; `strange` is a directory of another authority."""
    directory = tmp_path_factory.mktemp('secured')
    authority, other = Authority(directory), Authority(directory, 'other')
    server, client = authority.sign('server', LOOPBACK), authority.sign('client')
    host = f'tcp://{LOOPBACK}:{free_port()}'
    flags = ['-H', host, '--tlsverify', f'--tlscacert={authority.certificate}', f'--tlscert={server.certificate}',
             f'--tlskey={server.key}']
    with require_service(partial(start_docker, *flags)) as daemon:
        yield SecuredDaemon(daemon, host, docker_certificates(directory / 'good', authority.certificate, client),
                            docker_certificates(directory / 'nameless', authority.certificate, None),
                            docker_certificates(directory / 'strange', other.certificate, client))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The sample image as an archive."""
    return write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')


def error_of(occystrap: CommandLine, code: int, *arguments: str, **env: str) -> str:
    """The one line that a command which must fail says."""
    result = occystrap(*arguments, env=env).assert_code(code)
    assert len(result.errors) == 1 and not result.out, result
    return result.err


def test_tls_by_options_then_by_environment(secured: SecuredDaemon, archive: Path, occystrap: CommandLine) -> None:
    target = f'docker://tls:v1?host={secured.host}&cert_path={secured.certificates}'
    occystrap('process', f'tar://{archive}', target, '--verify=full', '--receipt', 'receipt').assert_success()
    assert json.loads((archive.parent / 'receipt').read_text())['options'] == {
        'host': secured.host, 'cert_path': str(secured.certificates), 'tls_verify': 'true'}
    occystrap('verify', 'receipt', env={'DOCKER_HOST': 'unix:///no.sock'}).assert_success()
    env = {'DOCKER_HOST': secured.host, 'DOCKER_TLS_VERIFY': '1', 'DOCKER_CERT_PATH': str(secured.certificates)}
    occystrap('process', 'docker://tls:v1', 'tar://back.tar', env=env).assert_success()


def test_a_context_that_the_docker_command_made(secured: SecuredDaemon, archive: Path, occystrap: CommandLine) -> None:
    docker = partial(secured.daemon.run, config=occystrap.directory / 'home/.docker')
    files = ','.join(f'{key}={secured.certificates}/{key}.pem' for key in ('ca', 'cert', 'key'))
    docker('context', 'create', 'build', '--docker', f'host={secured.host},{files}')
    occystrap('process', f'tar://{archive}', 'docker://ctx:v1?context=build', '--receipt', 'receipt').assert_success()
    docker('context', 'use', 'build')
    occystrap('process', 'docker://ctx:v1', 'tar://current.tar').assert_success()
    overruled = error_of(occystrap, 1, 'process', 'docker://ctx:v1', 'tar://x.tar', DOCKER_HOST='unix:///no.sock')
    assert 'unix:///no.sock (DOCKER_HOST)' in overruled
    docker('context', 'use', 'default')
    occystrap('verify', 'receipt', '--verify=full').assert_success()
    wrong = error_of(occystrap, 2, 'process', 'docker://ctx:v1?context=bild', 'tar://x.tar')
    assert "there is no docker context 'bild'; did you mean 'build'?" in wrong


def test_certificates_that_do_not_fit(secured: SecuredDaemon, occystrap: CommandLine) -> None:
    def message(code: int, options: str) -> str:
        return error_of(occystrap, code, 'process', f'docker://a:v1?host={secured.host}{options}', 'tar://x.tar')

    assert 'does not accept our certificate' in message(1, f'&cert_path={secured.nameless}')
    assert 'a certificate that is not trusted' in message(1, f'&cert_path={secured.strange}')
    assert 'has no image a:v1' in message(1, f'&cert_path={secured.strange}&tls_verify=false')
    assert 'requires TLS: give ?cert_path=DIRECTORY' in message(1, '')
    assert 'are incomplete' in message(2, '&cert_path=/')


@pytest.mark.parametrize('engine', ['docker', 'podman'])
def test_through_ssh_and_the_command_on_the_other_side(engine: str, docker_daemon: DockerDaemon, podman: PodmanService,
                                                       archive: Path, occystrap: CommandLine) -> None:
    ssh = occystrap.directory / 'bin/ssh'  # stands for the network and the login: the rest is real
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nexec sh -c "$3"\n')
    ssh.chmod(0o755)
    env = {'PATH': f'{ssh.parent}:{os.environ["PATH"]}'}
    socket = podman.socket if engine == 'podman' else docker_daemon.socket
    target = f'docker://ssh:v1?engine={engine}&host=ssh://me@there{socket}'
    occystrap('process', f'tar://{archive}', target, '--verify=full', env=env).assert_success()


def test_podman_is_found_by_itself(podman: PodmanService, archive: Path, occystrap: CommandLine) -> None:
    home = occystrap.directory / 'run/podman'
    home.mkdir(parents=True)
    (home / 'podman.sock').symlink_to(podman.socket)
    env = {'XDG_RUNTIME_DIR': str(home.parent), 'CONTAINER_HOST': '', 'DOCKER_HOST': 'unix:///no.sock'}
    if Path('/run/podman/podman.sock').exists():  # where root looks first
        env['CONTAINER_HOST'] = podman.address
    target = 'docker://own:v1?engine=podman'
    occystrap('process', f'tar://{archive}', target, '--receipt', 'receipt', env=env).assert_success()
    occystrap('verify', 'receipt', env={'CONTAINER_HOST': 'unix:///no.sock'}).assert_success()


@pytest.mark.parametrize(('options', 'code', 'words'), [
    ('engine=podman', 1, ['no Podman service answers at unix://', 'nor at ', 'podman/podman.sock',
                          'systemctl --user start podman.socket', 'CONTAINER_HOST']),
    ('socket=/no.sock&host=tcp://a:1', 2, ['socket= and host= contradict each other']),
    ('host=tcp://127.0.0.1:1', 1, ['answers at tcp://127.0.0.1:1', 'host and port']),
])
def test_mistakes(options: str, code: int, words: list[str], archive: Path, occystrap: CommandLine) -> None:
    if options == 'engine=podman' and Path('/run/podman/podman.sock').exists():
        pytest.skip('this machine runs a Podman service of its own')
    arguments = ['process', f'tar://{archive}', f'docker://a:v1?{options}']
    output = error_of(occystrap, code, *arguments, DOCKER_HOST='', CONTAINER_HOST='')
    assert all(word in output for word in words), output
