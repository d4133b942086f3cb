"""Where the daemon is looked for, in which order, and what contradicts itself."""
import json
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import UsageError
from occystrap_docker.connection.address import find_address
from occystrap_docker.connection.certificates import Certificates
from occystrap_docker.connection.engines import DOCKER, PODMAN
from tests.unit.docker.places import make_context

VARIABLES = ('DOCKER_HOST', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH', 'DOCKER_CONTEXT', 'CONTAINER_HOST')


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of Docker's settings, empty; none of the caller's variables, no socket of the user."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path / 'config'))
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path / 'run'))
    (tmp_path / 'config').mkdir()
    return tmp_path / 'config'


def found(**options: Any) -> str:
    """The URL that the options lead to."""
    return find_address(options).url


def test_each_place_comes_before_the_next(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_context(config, 'current', 'tcp://current:2375')
    make_context(config, 'chosen', 'tcp://chosen:2375')
    (config / 'config.json').write_text(json.dumps({'currentContext': 'current'}))
    assert found() == 'tcp://current:2375'
    monkeypatch.setenv('DOCKER_CONTEXT', 'chosen')
    assert found() == 'tcp://chosen:2375'
    monkeypatch.setenv('DOCKER_HOST', 'tcp://variable:2375')
    assert found() == 'tcp://variable:2375'
    assert found(context='current') == 'tcp://current:2375'
    assert found(host='ssh://me@given') == 'ssh://me@given'
    assert found(socket='/given.sock') == 'unix:///given.sock'


def test_the_context_called_default_is_no_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_context(config, 'current', 'tcp://current:2375')
    (config / 'config.json').write_text(json.dumps({'currentContext': 'current'}))
    assert found(context='default').startswith('unix://')
    monkeypatch.setenv('DOCKER_CONTEXT', 'default')
    assert found().startswith('unix://')
    monkeypatch.setenv('DOCKER_HOST', 'tcp://variable:2375')
    assert found(context='default') == 'tcp://variable:2375'


def test_the_usual_socket_before_the_rootless_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, rootless = str(tmp_path / 'docker.sock'), str(tmp_path / 'run/docker.sock')
    assert DOCKER.sockets() == ['/var/run/docker.sock', rootless]
    monkeypatch.setattr(type(DOCKER), 'sockets', lambda engine: [usual, rootless])
    assert found() == f'unix://{usual}'
    (tmp_path / 'run').mkdir()
    Path(rootless).touch()
    assert found() == f'unix://{rootless}'
    Path(usual).touch()
    assert found() == f'unix://{usual}'


def test_podman_has_places_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DOCKER_HOST', 'tcp://docker:2375')
    rootless = tmp_path / 'run/podman/podman.sock'
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    assert PODMAN.sockets()[0] == str(rootless) and PODMAN.sockets()[-1] == '/run/podman/podman.sock'
    rootless.parent.mkdir(parents=True)
    rootless.touch()
    assert found(engine='podman') == f'unix://{rootless}'
    monkeypatch.setattr('os.geteuid', lambda: 0)
    assert PODMAN.sockets()[0] == '/run/podman/podman.sock'
    monkeypatch.setenv('CONTAINER_HOST', 'ssh://me@podman/run/podman.sock')
    assert found(engine='podman') == 'ssh://me@podman/run/podman.sock'
    assert found(engine='docker') == 'tcp://docker:2375'


def test_a_path_counts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(socket='docker.sock') == f'unix://{tmp_path}/docker.sock'


@pytest.mark.parametrize(('options', 'words'), [
    ({'host': 'ftp://host'}, "host= is not the address of a Docker daemon"),
    ({'host': '/run/docker.sock'}, 'unix://'),
    ({'socket': 'tcp://host'}, 'has no port: give tcp://HOST:PORT'),
    ({'socket': '/a', 'host': 'tcp://b:1'}, 'socket= and host= contradict each other'),
    ({'host': 'tcp://b:1', 'context': 'c'}, 'host= and context= contradict each other'),
    ({'context': 'default', 'engine': 'podman'}, 'context= does not work with engine=podman'),
    ({'socket': '/a', 'cert_path': '/certs'}, 'cert_path= needs a daemon at tcp://'),
    ({'host': 'unix://'}, r'daemon .host=. has no path of a socket: give unix:///PATH'),
    ({'host': 'unix://run/docker.sock'}, 'has no path of a socket'),
    ({'socket': f'/{"a" * 107}'}, 'too long for a socket .limit: 107 bytes.: make a symlink'),
    ({'socket': '/run/a#b.sock'}, '/run/a#b.sock .socket=. cannot be reached because of # in it'),
    ({'host': 'ssh://a', 'tls_verify': True}, 'tls_verify= needs a daemon at tcp://'),
    ({'context': 'build', 'cert_path': '/certs'}, 'has its own certificates: leave out cert_path='),
    ({'context': 'bild'}, "context=: there is no docker context 'bild'; did you mean 'build'?"),
    ({'context': 'empty'}, "the docker context 'empty' in .* names no daemon"),
])
def test_invalid_options_are_usage_errors(options: dict[str, Any], words: str, config: Path) -> None:
    make_context(config, 'build', 'tcp://build:2376')
    make_context(config, 'empty', '')
    with pytest.raises(UsageError, match=words) as error:
        find_address(options)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('address', ['tcp://me:canary@host:2375', 'SSH://me:canary@host', 'me:canary@host',
                                     'tcp://me:can/canary@host:2375', 'tcp://canary@host:1', 'ssh://me:canary@host'])
def test_passwords_are_refused_and_not_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DOCKER_HOST', address)
    with pytest.raises(UsageError) as error:
        found()
    assert 'canary' not in str(error.value)


def test_a_broken_config_hides_which_daemon_is_meant(config: Path) -> None:
    (config / 'config.json').write_text('{"currentContext"')
    with pytest.raises(UsageError, match='config.json is malformed'):
        found()
    assert found(host='tcp://given:2375') == 'tcp://given:2375'
    (config / 'config.json').unlink()
    (config / 'config.json').mkdir()  # root may read every file: a directory cannot be read as one
    with pytest.raises(UsageError, match=r'config.json cannot be read: Is a directory; .*\?host='):
        found()


def test_a_missing_current_context_is_reported_with_its_path(config: Path) -> None:
    (config / 'config.json').write_text('{"currentContext": "gone"}')
    with pytest.raises(UsageError, match=f"currentContext in {config}/config.json: there is no docker context 'gone'"):
        found()


def test_certificates_of_options_and_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tls(**options: Any) -> Certificates | None:
        return find_address({'host': 'tcp://host:2376', **options}).certificates

    assert tls() is None and tls(tls_verify=False) is None
    assert tls(tls_verify=True) == Certificates(None)
    assert tls(cert_path='/certs') == Certificates('/certs')
    assert tls(cert_path='/certs', tls_verify=False) == Certificates('/certs', False)
    assert tls(host='https://host:2376') == Certificates(None)
    monkeypatch.setenv('DOCKER_TLS_VERIFY', '1')
    assert tls() == Certificates(None)
    monkeypatch.setenv('DOCKER_CERT_PATH', '/other')
    assert tls() == Certificates('/other') and tls(cert_path='/certs') == Certificates('/certs')
    assert tls(tls_verify=False) is None and tls(engine='podman') is None
    monkeypatch.setenv('DOCKER_TLS_VERIFY', '')
    assert tls() == Certificates('/other', False)
    (config / 'ca.pem').touch()
    assert tls(tls_verify=True) == Certificates(str(config))


def test_certificates_of_a_context(config: Path) -> None:
    directory = make_context(config, 'secured', 'tcp://a:2376', certificates=True)
    make_context(config, 'lenient', 'tcp://b:2376', lenient=True)
    make_context(config, 'local', 'unix:///a.sock', certificates=True)
    assert find_address({'context': 'secured'}).certificates == Certificates(str(directory))
    assert find_address({'context': 'lenient'}).certificates == Certificates(None, False)
    assert find_address({'context': 'local'}).certificates is None


@pytest.mark.parametrize('there', [[], ['ca.pem', 'cert.pem'], ['key.pem']])
def test_incomplete_certificates_are_a_usage_error(there: list[str], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match='daemon at tcp://host:2376 are incomplete: .*pem is missing; .*cert_path='):
        Certificates(str(tmp_path)).config('tcp://host:2376')


@pytest.mark.parametrize('options', [
    {'socket': 'tcp://a:2375'}, {'context': 'secured'}, {'context': 'lenient'}, {'context': 'local'},
    {'host': 'tcp://a:1', 'tls_verify': True}, {'host': 'tcp://a:1', 'cert_path': '/c', 'tls_verify': False},
    {'engine': 'podman', 'host': 'ssh://a/b.sock'}, {},
])
def test_the_reported_address_leads_to_the_same_daemon(
        options: dict[str, Any], config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from occystrap_core.api.options import read_options
    from occystrap_docker.plugin import CONNECTION
    make_context(config, 'secured', 'tcp://a:2376', certificates=True)
    make_context(config, 'lenient', 'tcp://b:2376', lenient=True)
    make_context(config, 'local', 'unix:///a.sock')
    address = find_address(options)
    monkeypatch.setenv('DOCKER_HOST', 'tcp://elsewhere:1')
    monkeypatch.setenv('CONTAINER_HOST', 'tcp://elsewhere:1')
    monkeypatch.setenv('DOCKER_TLS_VERIFY', '1')
    again = find_address(read_options(CONNECTION, address.as_options(), 'docker://'))
    assert (again.url, again.engine, again.certificates) == (address.url, address.engine, address.certificates)
