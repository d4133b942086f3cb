"""Logging in and out: what docker and podman keep is used, what we keep they use."""
import base64
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.images import skopeo
from tests.services.command_line import CommandLine
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon
from tests.services.registry import PASSWORD, USER, Registry
from tests.services.sample import put_sample_image

AUTH = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()


@pytest.fixture
def config(occystrap: CommandLine) -> Path:
    """Docker's config.json of the user, not there yet."""
    return occystrap.directory / 'home/.docker/config.json'


@pytest.fixture
def push(registry: Registry, private_registry: Registry, occystrap: CommandLine) -> Callable[..., int]:
    """Push a sample to the private registry and return the exit code."""
    put_sample_image(registry, 'registry/sample', 'v1')

    def run(*options: str, env: dict[str, str] | None = None, input: str = '') -> int:
        return occystrap('process', f'registry://{registry.host}/registry/sample:v1',
                         f'registry://{private_registry.host}/login/app:v1', *options, env=env, input=input).code
    return run


def log_in(occystrap: CommandLine, host: str, *options: str | Path, password: str = PASSWORD, **more: Any) -> Any:
    return occystrap('login', host, '--username', USER, '--password-stdin', *options, input=f'{password}\n', **more)


def test_in_and_out(private_registry: Registry, push: Callable[..., int], config: Path, occystrap: CommandLine,
                    ) -> None:
    host = private_registry.host
    assert push() == 1
    done = log_in(occystrap, host).assert_success()
    assert done.err == f'logged in to {host} as {USER}, stored in {config}\n' and not done.out
    assert json.loads(config.read_text()) == {'auths': {host: {'auth': AUTH}}}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600 and os.listdir(config.parent) == ['config.json']
    assert push() == 0
    assert occystrap('logout', host).assert_success().err == f'logged out of {host}\n'
    assert json.loads(config.read_text()) == {'auths': {}} and push() == 1
    assert f'there was no login for {host}' in occystrap('logout', host).assert_success().err


@pytest.mark.parametrize('kind', ['private_registry', 'token_registry'])
def test_a_refused_login_is_not_kept(kind: str, config: Path, occystrap: CommandLine,
                                     request: pytest.FixtureRequest) -> None:
    registry: Registry = request.getfixturevalue(kind)
    log_in(occystrap, registry.host).assert_success()
    kept = config.read_bytes()
    line, = log_in(occystrap, registry.host, password='wrong horse').assert_code(1).err.splitlines()
    assert f'{registry.host} refuses' in line and 'horse' not in line and config.read_bytes() == kept


def test_an_open_registry_cannot_check(registry: Registry, config: Path, occystrap: CommandLine) -> None:
    done = log_in(occystrap, registry.host).assert_success()
    assert 'was not checked' in done.err and registry.host in json.loads(config.read_text())['auths']


@pytest.mark.parametrize(('words', 'expected'), [
    (['--username', USER], 'there is no terminal'), (['--password-stdin'], '--password-stdin needs --username'),
    (['--username', USER, '--password-stdin'], 'standard input is empty'),
    (['--username', USER, '--password-stdin', '--password', 'canary'], 'cannot both be given'),
    (['--username', 'a:b', '--password', 'canary'], 'a user name has no colons')])
def test_mistakes(words: list[str], expected: str, private_registry: Registry, config: Path, occystrap: CommandLine,
                  ) -> None:
    line = occystrap('login', private_registry.host, *words).assert_code(2).err.splitlines()[-1]
    assert expected in line and 'canary' not in line and not config.exists()


@pytest.mark.parametrize('host', ['quay.io/team', 'https://', 'a b', '', '-x', '../x', 'x:y'])
@pytest.mark.parametrize('command', ['login', 'logout'])
def test_invalid_hosts(command: str, host: str, occystrap: CommandLine) -> None:
    assert len(occystrap(command, host).assert_code(2).err.splitlines()) == 1


def test_who_was_refused_is_named(private_registry: Registry, occystrap: CommandLine) -> None:
    line, = log_in(occystrap, private_registry.host, password='wrong horse').assert_code(1).err.splitlines()
    assert f'refuses the login of {USER}: check user name and password' in line


def test_login_where_nothing_listens(occystrap: CommandLine, config: Path) -> None:
    line, = log_in(occystrap, '127.0.0.1:1').assert_code(1).err.splitlines()
    assert '127.0.0.1:1' in line and not config.exists()


def test_the_password_is_asked_for_without_echo(private_registry: Registry, config: Path, occystrap: CommandLine,
                                                ) -> None:
    main, terminal = pty.openpty()
    command = [sys.executable, '-m', 'occystrap_core', 'login', private_registry.host]
    environment = {**os.environ, 'DOCKER_CONFIG': str(config.parent), 'TERM': 'dumb'}
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
                          start_new_session=True) as process:
        os.close(terminal)
        shown = _read_until(main, 'Username: ')
        os.write(main, f'{USER}\n'.encode())
        shown += _read_until(main, 'Password: ')
        os.write(main, f'{PASSWORD}\n'.encode())
        shown += _read_until(main, 'stored in')
    assert process.returncode == 0 and PASSWORD not in shown
    assert json.loads(config.read_text())['auths'][private_registry.host] == {'auth': AUTH}


def _read_until(descriptor: int, text: str) -> str:
    shown = ''
    while text not in shown:
        shown += os.read(descriptor, 1024).decode()
    return shown


def test_docker_s_file_is_read_as_it_is(private_registry: Registry, push: Callable[..., int],
                                        docker_daemon: DockerDaemon) -> None:
    docker_daemon.run('login', '--username', USER, '--password', PASSWORD, private_registry.host)
    written = docker_daemon.log.parent / 'cli'
    assert push(env={'DOCKER_CONFIG': str(written)}) == 0
    docker_daemon.run('logout', private_registry.host)
    assert push(env={'DOCKER_CONFIG': str(written)}) == 1


def test_docker_uses_what_we_keep(private_registry: Registry, push: Callable[..., int], docker_daemon: DockerDaemon,
                                  occystrap: CommandLine) -> None:
    config = {'DOCKER_CONFIG': str(docker_daemon.log.parent / 'cli')}
    log_in(occystrap, private_registry.host, env=config).assert_success()
    assert push(env=config) == 0
    docker_daemon.run('pull', f'{private_registry.host}/login/app:v1')
    docker_daemon.run('rmi', f'{private_registry.host}/login/app:v1')
    occystrap('logout', private_registry.host, env=config).assert_success()
    with pytest.raises(RuntimeError, match='no basic auth credentials|unauthorized|authentication required'):
        docker_daemon.run('pull', f'{private_registry.host}/login/app:v1')


@pytest.mark.parametrize('place', ['runtime', 'REGISTRY_AUTH_FILE', 'namespace'])
def test_podman_s_file_is_read_as_it_is(place: str, private_registry: Registry, push: Callable[..., int],
                                        program: Callable[..., str]) -> None:
    key = f'{private_registry.host}/login' if place == 'namespace' else private_registry.host
    with service_directory('login') as directory:  # podman wants short paths
        podman = [program('podman'), '--root', f'{directory}/data', '--runroot', f'{directory}/r', '--storage-driver',
                  'vfs']
        env = {'XDG_RUNTIME_DIR': str(directory)}
        if place == 'REGISTRY_AUTH_FILE':
            env['REGISTRY_AUTH_FILE'] = f'{directory}/auth.json'
        subprocess.run([*podman, 'login', '--tls-verify=false', '--username', USER, '--password-stdin', key],
                       env={**os.environ, **env}, input=PASSWORD, text=True, check=True, capture_output=True)
        assert push(env=env) == 0
        subprocess.run([*podman, 'logout', key], env={**os.environ, **env}, check=True, capture_output=True)
        assert push(env=env) == 1


@pytest.mark.parametrize('way', ['--authfile', 'REGISTRY_AUTH_FILE', 'config.json'])
def test_skopeo_uses_what_we_keep(way: str, private_registry: Registry, push: Callable[..., int], config: Path,
                                  program: Callable[..., str], occystrap: CommandLine, tmp_path: Path) -> None:
    program('skopeo')
    kept = config if way == 'config.json' else tmp_path / 'auth.json'
    env = {'REGISTRY_AUTH_FILE': str(kept)} if way == 'REGISTRY_AUTH_FILE' else {}
    options = ['--authfile', str(kept)] if way == '--authfile' else []
    log_in(occystrap, private_registry.host, *options, env=env).assert_success()
    assert push(env={'REGISTRY_AUTH_FILE': str(kept)}) == 0
    skopeo('copy', '--authfile', kept, '--src-tls-verify=false', f'docker://{private_registry.host}/login/app:v1',
           f'dir:{tmp_path}/witness')
    occystrap('logout', private_registry.host, *options, env=env).assert_success()
    assert json.loads(kept.read_text()) == {'auths': {}} and config.exists() is (way == 'config.json')


def test_a_helper_keeps_it(private_registry: Registry, push: Callable[..., int], config: Path, occystrap: CommandLine,
                           tmp_path: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({'credsStore': 'box', 'auths': {private_registry.host: {'auth': 'old'}}}))
    helper = tmp_path / 'docker-credential-box'
    helper.write_text(f'''#!/bin/sh
cat > {tmp_path}/heard-$1
case $1 in
store) cp {tmp_path}/heard-store {tmp_path}/kept;;
get) cat {tmp_path}/kept 2>/dev/null || (echo credentials not found in native keychain; exit 1);;
erase) rm {tmp_path}/kept;;
esac
''')
    helper.chmod(0o755)
    env = {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    done = log_in(occystrap, private_registry.host, env=env).assert_success()
    assert done.err.endswith('stored in docker-credential-box\n')
    assert json.loads((tmp_path / 'kept').read_text()) == {
        'ServerURL': private_registry.host, 'Username': USER, 'Secret': PASSWORD}
    assert json.loads(config.read_text()) == {'credsStore': 'box', 'auths': {private_registry.host: {}}}
    assert push(env=env) == 0 and (tmp_path / 'heard-get').read_text() == private_registry.host
    occystrap('logout', private_registry.host, env=env).assert_success()
    assert (tmp_path / 'heard-erase').read_text() == private_registry.host and not (tmp_path / 'kept').exists()
    assert push(env=env) == 1


def test_username_and_password_stdin_for_one_run(push: Callable[..., int], config: Path) -> None:
    assert push('--username', USER, '--password-stdin', input=f'{PASSWORD}\n') == 0
    assert push('--username', USER, '--password-stdin', input='wrong horse\n') == 1
    assert not config.exists()
