"""Who may do what at a registry: logins of an htpasswd file, pulls without one, repositories, reading alone."""
import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import httpx
import pytest

from occystrap_core import UsageError
from occystrap_core.oci import Digest
from occystrap_registry.server import accounts as accounts_module
from occystrap_registry.server.access import Rules
from occystrap_registry.server.accounts import Accounts
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from tests.unit.registry.images import HTTP

BLOB = b'a blob'
DIGEST = Digest.of(BLOB)
PASSWORD = 'correct:horse'
Serve = Callable[..., str]


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    """A file as htpasswd writes it; the second user has the longest password that counts, and one letter more."""
    lines = [f'{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b", "$2y")}'
             for user, password in (('ann', PASSWORD), ('long', 'x' * 72))]
    (tmp_path / 'htpasswd').write_text('# users\n\n' + '\n'.join(lines) + '\n')
    return tmp_path / 'htpasswd'


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a registry with a blob in `team/app` and `other`, and return where it is."""
    with ExitStack() as stack:
        def start(**settings: object) -> str:
            root = tmp_path / 'registry'
            with RegistryServer(root) as filled:
                for name in ('team/app', 'other'):
                    HTTP.post(f'http://{filled.host}/v2/{name}/blobs/uploads/', params={'digest': DIGEST}, content=BLOB)
            server = RegistryServer(root, settings=ServerSettings(**settings))  # type: ignore[arg-type]
            return f'http://{stack.enter_context(server).host}'
        yield start


def login(user: str, password: str) -> dict[str, str]:
    return {'Authorization': 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode()}


def pull(place: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return HTTP.get(f'{place}/v2/team/app/blobs/{DIGEST}', headers=headers)


def push(place: str, headers: dict[str, str] | None = None, name: str = 'team/app') -> httpx.Response:
    return HTTP.post(f'{place}/v2/{name}/blobs/uploads/', params={'digest': DIGEST}, content=BLOB, headers=headers)


def test_a_login_is_needed_for_all(serve: Serve, htpasswd: Path) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=False))
    for answer in (HTTP.get(f'{place}/v2/'), pull(place), push(place), HTTP.get(f'{place}/v2/_catalog'),
                   HTTP.get(f'{place}/token')):
        assert (answer.status_code, answer.headers['www-authenticate']) == (401, 'Basic realm="occystrap"')
        assert answer.json()['errors'][0]['code'] == 'UNAUTHORIZED'
    right = login('ann', PASSWORD)
    assert [HTTP.get(f'{place}/v2/', headers=right).status_code, pull(place, right).status_code,
            push(place, right).status_code] == [200, 200, 201]


@pytest.mark.parametrize('headers', [
    login('ann', 'wrong'), login('ann', ''), login('bob', PASSWORD), login('', PASSWORD), login('ann', PASSWORD + ' '),
    login('ann', PASSWORD + '\0'), login('ann\0', PASSWORD), login('#', PASSWORD), login('ann\n', PASSWORD),
    {'Authorization': 'Basic'}, {'Authorization': 'Basic ???'}, {'Authorization': 'Basic YW5u'},
    {'Authorization': 'Bearer x'}, {'Authorization': 'Bearer e30.x'}, {'Authorization': 'Bearer .'},
    {'Authorization': 'Digest ' + login('ann', PASSWORD)['Authorization']}])
def test_no_wrong_login_lets_in(headers: dict[str, str], serve: Serve, htpasswd: Path) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=True))
    assert pull(place, headers).status_code == push(place, headers).status_code == 401


def test_a_password_counts_as_far_as_bcrypt_reads_it(serve: Serve, htpasswd: Path) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=False))
    assert [pull(place, login('long', 'x' * count)).status_code for count in (71, 72, 90)] == [401, 200, 200]


def test_a_password_is_checked_by_bcrypt_once(serve: Serve, htpasswd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    real = bcrypt.checkpw
    monkeypatch.setattr(accounts_module.bcrypt, 'checkpw', lambda *given: checked.append(given) or real(*given))
    place = serve(access=Accounts(htpasswd, anonymous_pull=False))
    for password in (PASSWORD, PASSWORD, 'wrong', 'wrong', PASSWORD):
        pull(place, login('ann', password))
    assert len(checked) == 3, 'a wrong one each time'


def test_who_has_no_login_may_pull(serve: Serve, htpasswd: Path) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=True))
    assert pull(place).status_code == 200
    challenge = push(place).headers['www-authenticate']
    assert challenge == f'Bearer realm="{place}/token",service="occystrap",scope="repository:team/app:pull,push"'
    assert push(place, login('ann', PASSWORD)).status_code == 201
    assert HTTP.get(f'{place}/v2/').status_code == 401, 'else docker does not ask for a token'


def token(place: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return HTTP.get(f'{place}/token', params={'service': 'occystrap', 'scope': 'repository:team/app:pull,push'},
                    headers=headers)


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {'Authorization': f'Bearer {answer.json()["token"]}'}


def test_tokens_as_docker_fetches_them(serve: Serve, htpasswd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=True))
    nobody, ann = bearer(token(place)), bearer(token(place, login('ann', PASSWORD)))
    assert [pull(place, nobody).status_code, push(place, nobody).status_code] == [200, 401]
    assert [pull(place, ann).status_code, push(place, ann).status_code] == [200, 201]
    assert HTTP.get(f'{place}/v2/', headers=nobody).status_code == 200
    refused = token(place, login('ann', 'wrong'))
    assert refused.status_code == 401 and refused.json()['errors'][0]['code'] == 'UNAUTHORIZED'
    claims, _, seal = nobody['Authorization'].removeprefix('Bearer ').partition('.')
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(claims).replace(b'""', b'"ann"')).decode()
    assert push(place, {'Authorization': f'Bearer {forged}.{seal}'}).status_code == 401
    later = time.time() + 301
    monkeypatch.setattr(accounts_module.time, 'time', lambda: later)
    assert push(place, ann).status_code == 401 and pull(place, nobody).status_code == 401


def test_the_realm_is_where_the_client_is(serve: Serve, htpasswd: Path) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=True))
    headers = {'Host': 'registry.example"\\', 'X-Forwarded-Proto': 'https'}
    assert HTTP.get(f'{place}/v2/', headers=headers).headers['www-authenticate'] == (
        'Bearer realm="https://registry.example/token",service="occystrap"')


def test_users_come_and_go_while_it_runs(serve: Serve, htpasswd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = serve(access=Accounts(htpasswd, anonymous_pull=False))
    assert pull(place, login('ann', PASSWORD)).status_code == 200
    whole = htpasswd.read_text()
    htpasswd.write_text(whole.replace('ann:', 'eve:'))
    assert [pull(place, login(user, PASSWORD)).status_code for user in ('ann', 'eve')] == [401, 200]
    htpasswd.write_text('half a li')
    assert [pull(place, login(user, PASSWORD)).status_code for user in ('ann', 'eve')] == [401, 200]
    assert capsys.readouterr().err.count('line 1: not a user') == 1
    htpasswd.unlink()
    assert pull(place, login('eve', PASSWORD)).status_code == 200
    htpasswd.write_text(whole)
    assert pull(place, login('eve', PASSWORD)).status_code == 401


def test_too_many_logins_at_once_are_put_off(serve: Serve, htpasswd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, '_WAITING', 0)
    place = serve(access=Accounts(htpasswd, anonymous_pull=False))
    answer = pull(place, login('ann', PASSWORD))
    assert answer.status_code == 429 and answer.headers['retry-after'] == '1'


@pytest.mark.parametrize(('text', 'message'), [
    ('ann:$apr1$x$y\n', 'line 1: not a user with a bcrypt password'), ('\n\nann:secret\n', 'line 3'),
    ('', 'no users'),
    ('# only\n', 'no users')])
def test_a_file_that_is_no_htpasswd_is_refused_without_being_quoted(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / 'htpasswd').write_text(text)
    with pytest.raises(UsageError, match=message) as refusal:
        Accounts(tmp_path / 'htpasswd', anonymous_pull=False)
    assert 'secret' not in str(refusal.value)


def test_a_registry_that_is_read_only(serve: Serve) -> None:
    place = serve(rules=Rules(read_only=True))
    assert pull(place).status_code == 200 and push(place).status_code == 405
    for method in ('POST', 'PUT', 'PATCH', 'DELETE'):
        for path in ('blobs/uploads/', f'blobs/{DIGEST}', 'manifests/v1', f'manifests/{DIGEST}'):
            answer = HTTP.request(method, f'{place}/v2/team/app/{path}')
            assert (answer.status_code, answer.json()['errors'][0]['code']) == (405, 'UNSUPPORTED')


@pytest.mark.parametrize(('patterns', 'allowed'), [(['team/*'], ['team/app']), (['*'], []), (['other', 'team/**'], [
    'other', 'team/app']), ([], ['other', 'team/app'])])
def test_repositories_that_may_be_used(patterns: Sequence[str], allowed: list[str], serve: Serve) -> None:
    place = serve(rules=Rules(patterns=patterns))
    answers = {name: push(place, name=name) for name in ('other', 'team/app')}
    if patterns == ['*']:
        allowed = ['other']
    assert [name for name, answer in answers.items() if answer.status_code == 201] == allowed
    assert {answer.json()['errors'][0]['code'] for answer in answers.values() if answer.status_code != 201} <= {
        'DENIED'}
    for name in ('other', 'team/app'):
        for path in (f'blobs/{DIGEST}', 'manifests/v1', 'tags/list', f'referrers/{DIGEST}',
                     f'blobs/uploads/{"0" * 32}'):
            assert (HTTP.get(f'{place}/v2/{name}/{path}').status_code == 403) == (name not in allowed)


def test_nothing_is_mounted_from_a_repository_that_may_not_be_used(serve: Serve) -> None:
    place = serve(rules=Rules(patterns=['team/*']))
    answer = HTTP.post(f'{place}/v2/team/new/blobs/uploads/', params={'mount': DIGEST, 'from': 'other'})
    assert answer.status_code == 403


def test_repositories_that_may_not_be_used_are_not_listed(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / 'registry/repositories/team/app/_manifests').mkdir(parents=True)
    (tmp_path / 'registry/repositories/other/_manifests').mkdir(parents=True)
    place = serve(rules=Rules(patterns=['team/*']))
    assert HTTP.get(f'{place}/v2/_catalog').json() == {'repositories': ['team/app']}
