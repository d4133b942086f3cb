"""Whose credentials are used for which host and repository."""
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Settings, UsageError
from occystrap_registry.credentials.credential_search import Logins, find_login
from occystrap_registry.credentials.logins import Login

DOCKER, RUNTIME, HOME = ('DOCKER_CONFIG', 'config.json'), ('XDG_RUNTIME_DIR', 'containers/auth.json'), (
    'XDG_CONFIG_HOME', 'containers/auth.json')


def write(document: Any, place: tuple[str, str] = DOCKER) -> Path:
    path = Path(os.environ[place[0]], place[1])
    path.parent.mkdir(parents=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def auth(text: str) -> dict[str, str]:
    return {'auth': base64.b64encode(text.encode()).decode()}


def find(host: str, repository: str = 'app') -> str | None:
    """Return what is found, `user:password`."""
    login = find_login(host, repository, Settings())
    assert login is None or not login.is_identity
    return f'{login.user}:{login.secret}' if login else None


def test_without_anything_there_are_none() -> None:
    assert find('quay.io') is None


def test_the_environment_wins_over_files(monkeypatch: pytest.MonkeyPatch) -> None:
    write({'auths': {'quay.io': auth('config:secret')}})
    assert find('quay.io') == 'config:secret'
    monkeypatch.setenv('OCCYSTRAP_USERNAME', 'environment')
    assert find('quay.io') == 'config:secret'
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'secret2')
    assert find('quay.io') == 'environment:secret2'


def test_the_login_of_the_run_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OCCYSTRAP_USERNAME', 'environment')
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'secret')
    assert find_login('quay.io', 'app', Settings(login=('me', 'given'))) == Login('me', 'given')


def test_the_order_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write({'auths': {'quay.io': auth('home:1'), 'a.example': auth('home:2'), 'b.example': auth('home:3')}}, HOME)
    write({'auths': {'quay.io': auth('run:1'), 'a.example': auth('run:2')}}, RUNTIME)
    write({'auths': {'quay.io': auth('docker:1')}})
    assert [find(host) for host in ('quay.io', 'a.example', 'b.example')] == ['docker:1', 'run:2', 'home:3']
    named = tmp_path / 'named.json'
    monkeypatch.setenv('REGISTRY_AUTH_FILE', str(named))
    assert find('quay.io') is None
    named.write_text(json.dumps({'auths': {'quay.io': auth('named:1')}}))
    assert [find(host) for host in ('quay.io', 'a.example')] == ['named:1', None]


def test_hosts_match_exactly() -> None:
    write({'auths': {'quay.io': auth('a:1'), 'quay.io:5000': auth('b:2:3'), 'https://x.example/v1/': auth('c:4'),
                     'y.example/team': auth('d:5'), 'Z.Example': auth('e:6')}})
    assert [find(host) for host in ('quay.io', 'quay.io:5000', 'x.example', 'z.example')] == [
        'a:1', 'b:2:3', 'c:4', 'e:6']
    for other in ('quay.io.evil', 'evil.quay.io', 'quay.io:443', 'io', 'x.example:1', 'y.example'):
        assert find(other) is None


def test_the_longest_namespace_wins() -> None:
    write({'auths': {'quay.io': auth('host:1'), 'quay.io/team': auth('team:2'), 'quay.io/team/app': auth('app:3')}})
    found = {name: find('quay.io', name) for name in ('team/app', 'team/app/x', 'team/other', 'team-b/app', 'other')}
    assert found == {'team/app': 'app:3', 'team/app/x': 'app:3', 'team/other': 'team:2', 'team-b/app': 'host:1',
                     'other': 'host:1'}


@pytest.mark.parametrize('key', ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io',
                                 'docker.io/library'])
def test_docker_hub_has_many_names(key: str) -> None:
    write({'auths': {key: auth('hub:secret')}})
    assert find('registry-1.docker.io', 'library/debian') == 'hub:secret'


def test_identity_tokens() -> None:
    write({'auths': {'a.example': {**auth('me:'), 'identitytoken': 'tok'}, 'b.example': {'identitytoken': 'tok'}}})
    assert find_login('a.example', 'app', Settings()) == Login('me', 'tok', is_identity=True)
    assert find_login('b.example', 'app', Settings()) == Login('', 'tok', is_identity=True)


def test_user_and_password_in_plain_words() -> None:
    write({'auths': {'quay.io': {'username': 'me', 'password': 'secret'}}})
    assert find('quay.io') == 'me:secret'


@pytest.mark.parametrize('document', [{}, [], {'auths': None}, {'auths': []}, {'auths': {'quay.io': None}}, '',
                                      {'auths': {'quay.io': {}}}, {'auths': {'quay.io': {'auth': ''}}},
                                      {'credsStore': 1, 'credHelpers': []}])
def test_entries_without_credentials(document: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write(document)
    assert find('quay.io') is None and capsys.readouterr().err == ''


@pytest.mark.parametrize('entry', [
    {'auth': 'canary%'}, {'auth': '\u00e9canary'}, auth('canary'), {'auth': 1}, 'canary', ['canary'],
    {'username': 'me', 'password': ['canary']}, {'identitytoken': {'canary': 1}}, {'auth': 'Y2FuYXJ5/w=='}])
def test_an_entry_that_cannot_be_read_is_named_once(entry: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = write({'auths': {'quay.io': entry, 'other.example': auth('me:1')}})
    logins = Logins(Settings())
    assert logins.find('quay.io') is None and logins.find('quay.io') is None and logins.find('other.example')
    warning, = capsys.readouterr().err.splitlines()
    assert warning.startswith(f'warning: {path}: the entry for quay.io is ignored, since it')
    assert 'canary' not in warning


@pytest.mark.parametrize('entry', [
    {'auth': base64.encodebytes(f'me:{"x" * 90}'.encode()).decode()}, {'auth': auth(f'me:{"x" * 90}')['auth'] + '\n'},
    {'auth': auth(f'me:{"x" * 90}')['auth'].rstrip('=')}, {'auth': '', 'username': 'me', 'password': 'x' * 90},
    {'auth': None, 'username': 'me', 'password': 'x' * 90}, {**auth(f'me:{"x" * 90}'), 'password': 'other'}])
def test_entries_as_docker_reads_them(entry: dict[str, str]) -> None:
    write({'auths': {'quay.io': entry}})
    assert find('quay.io') == f'me:{"x" * 90}'


@pytest.mark.parametrize('key', [
    'quay.io/', 'quay.io/v1/', 'quay.io/v2/', 'quay.io/v2', 'https://quay.io/v2/', 'QUAY.io/v1'])
def test_keys_with_the_path_of_the_api(key: str) -> None:
    write({'auths': {key: auth('me:1')}})
    assert find('quay.io') == 'me:1'


@pytest.mark.parametrize('text', [b'\xef\xbb\xbf%s', b' %s\n'])
def test_files_as_editors_save_them(text: bytes) -> None:
    path = write({'auths': {'HTTPS://quay.io/': auth('me:1')}})
    path.write_bytes(text % path.read_bytes())
    assert find('quay.io') == 'me:1'


@pytest.mark.parametrize('text', [b'\xef\xbb\xbf', b' \n'])
def test_files_with_nothing_in_them(text: bytes) -> None:
    write('').write_bytes(text)
    assert find('quay.io') is None


def test_a_login_in_place_of_a_path_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('REGISTRY_AUTH_FILE', 'canary' * 100)
    with pytest.raises(UsageError, match='REGISTRY_AUTH_FILE') as caught:
        find('quay.io')
    assert 'canary' not in str(caught.value)


def test_tokens_for_the_registry() -> None:
    write({'auths': {'quay.io': {**auth('me:1'), 'identitytoken': 'no', 'registrytoken': 'tok'}}})
    assert find_login('quay.io', 'app', Settings()) == Login('me', 'tok', is_registry_token=True)


@pytest.mark.parametrize('place', [DOCKER, RUNTIME, HOME])
def test_broken_files_are_named_but_not_shown(place: tuple[str, str]) -> None:
    path = write('{"auths": {"quay.io": {"auth": "canary', place)
    with pytest.raises(UsageError, match=str(path)) as caught:
        find('quay.io')
    assert 'canary' not in str(caught.value)


def test_secrets_are_not_in_representations() -> None:
    assert 'canary' not in repr(Login('me', 'canary')) + repr(Settings(login=('me', 'canary')))
