"""Logging in: what is sent to whom, and when it is given up."""
import base64
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import AccessDenied, ServiceError, ServiceUnavailable, Settings
from occystrap_registry.auth.challenges import Challenge
from occystrap_registry.auth.tokens import may_get_login, read_token, token_url
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.url import parse_url
from tests.unit.registry.scripted import Answering, Request, Answer, Scripted, client_of

PULL, PUSH = 'repository:app:pull', 'repository:app:pull,push'
USER = ('me', 'canary-password')
BASIC = f'Basic {base64.b64encode(b"me:canary-password").decode()}'


def guard(accepted: set[str], challenge: str, answer: Answer = Answer(200, b'secret place')) -> Answering:
    """Return a route that requires one of the accepted Authorization headers."""
    def route(request: Request) -> Answer:
        return answer if request.authorization in accepted else Answer(401, headers=[('WWW-Authenticate', challenge)])
    return route


def token(text: str = 'tok', name: str = 'token', **more: object) -> Answer:
    return Answer(200, json.dumps({name: text, **more}).encode())


def bearer(server: Scripted, query: str = '') -> str:
    return f'Bearer realm="http://{server.host}/token{query}",service="the service"'


def test_basic_is_sent_after_a_challenge_and_from_then_on(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({BASIC}, 'Basic realm="r"')
    client = client_of(server.host, settings, USER)
    assert [client.fetch('GET', '/x', scope).status for scope in (PULL, PUSH)] == [200, 200]
    assert [request.authorization for request in server.received('GET', '/x')] == [None, BASIC, BASIC]
    assert server.received('GET', '/v2/')[0].authorization is None


@pytest.mark.parametrize('challenge', ['Basic realm="r"', 'Bearer realm="http://127.0.0.1:1/token",service="s"', ''])
@pytest.mark.parametrize('accepted', [True, False])
def test_a_token_for_the_registry_is_sent_as_it_is(accepted: bool, challenge: str, server: Scripted, settings: Settings,
                                                   tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / 'auth.json'
    file.write_text(json.dumps({'auths': {server.host: {'registrytoken': 'REGTOK'}}}))
    monkeypatch.setenv('REGISTRY_AUTH_FILE', str(file))
    server.routes['GET /x'] = guard({'Bearer REGTOK'} if accepted else set(), challenge)
    client = client_of(server.host, settings)
    status = client.fetch('GET', '/x', PULL).status
    assert status == (200 if accepted else 401)
    assert [request.authorization for request in server.received('GET', '/x')] == [None, 'Bearer REGTOK']


@pytest.mark.parametrize('status', [404, 401])
@pytest.mark.parametrize('asks', ['Basic realm="r"', 'bearer'])
def test_a_registry_that_challenges_at_its_root_alone(asks: str, status: int, server: Scripted, settings: Settings,
                                                      ) -> None:
    challenge = bearer(server) if asks == 'bearer' else asks
    accepted = {'Bearer tok', BASIC}
    server.routes['GET /token'] = token()
    server.routes['GET /v2/'] = guard(accepted, challenge)
    server.routes['GET /x'] = lambda request: (Answer(200, b'there') if request.authorization in accepted else
                                               Answer(status))
    client = client_of(server.host, settings, USER)
    assert [client.fetch('GET', '/x', PULL).body for _ in range(3)] == [b'there'] * 3
    assert [bool(request.authorization) for request in server.received('GET', '/x')] == [False, True, True, True]
    assert [request.authorization for request in server.received('GET', '/v2/')] == [None]


def test_a_missing_name_stays_missing(server: Scripted, settings: Settings) -> None:
    server.routes['GET /v2/'] = guard({BASIC}, 'Basic realm="r"')
    assert [client_of(server.host, settings).fetch('GET', '/x', PULL).status for _ in range(2)] == [404, 404]
    assert [client_of(server.host, settings, USER).fetch('GET', '/x', PULL).status for _ in range(2)] == [404, 404]
    assert len(server.received('GET', '/v2/')) == 1


def test_an_open_registry_is_not_asked_again_for_what_is_not_there(server: Scripted, settings: Settings) -> None:
    client = client_of(server.host, settings, USER)
    assert [client.fetch('GET', f'/{number}', PULL).status for number in range(3)] == [404] * 3
    assert len(server.received('GET', '/v2/')) == 1


def test_a_401_without_a_challenge_anywhere_gets_the_password(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({BASIC}, '')
    server.routes['GET /v2/'] = guard({BASIC}, '')
    assert client_of(server.host, settings, USER).fetch('GET', '/x', PULL).status == 200
    with pytest.raises(AccessDenied, match='requires credentials'):
        client_of(server.host, Settings(timeout=5, retries=0)).fetch('GET', '/x', PULL)


@pytest.mark.parametrize('challenge', ['Basic realm="r"', 'bearer'])
def test_a_403_with_a_challenge_for_who_is_not_logged_in(challenge: str, server: Scripted, settings: Settings) -> None:
    header = [('WWW-Authenticate', bearer(server) if challenge == 'bearer' else challenge)]
    server.routes['GET /token'] = token()
    server.routes['GET /x'] = lambda request: Answer(200) if request.authorization in ('Bearer tok', BASIC) else Answer(
        403, headers=header)
    assert client_of(server.host, settings, USER).fetch('GET', '/x', PULL).status == 200


@pytest.mark.parametrize('whole', [True, False])
def test_a_registry_that_redirects_to_another_one(whole: bool, server: Scripted, settings: Settings) -> None:
    with Scripted() as other:
        other.routes['GET /token'] = token('anonymous')
        other.routes['GET /v2/app/manifests/v1'] = guard({'Bearer anonymous'}, bearer(other))
        server.routes['GET /v2/app/manifests/v1'] = Answer(307, headers=[
            ('Location', f'http://{other.host}/v2/app/manifests/v1')])
        if whole:
            server.routes['GET /v2/'] = Answer(307, headers=[('Location', f'http://{other.host}/v2/')])
        client = client_of(server.host, settings, USER)
        assert [client.fetch('GET', '/v2/app/manifests/v1', PULL).body for _ in range(2)] == [b'secret place'] * 2
        assert {request.authorization for request in other.requests} == {None, 'Bearer anonymous'}
        assert {request.authorization for request in server.requests} == {None}


@pytest.mark.parametrize('challenge', ['Basic realm="r"', 'Bearer realm="http://169.254.169.254/token"', ''])
def test_another_registry_never_gets_the_login(challenge: str, server: Scripted, settings: Settings) -> None:
    with Scripted() as other:
        headers = [('WWW-Authenticate', challenge)] if challenge else []
        other.routes['GET /v2/app/manifests/v1'] = other.routes['GET /v2/'] = Answer(401, headers=headers)
        server.routes['GET /v2/app/manifests/v1'] = Answer(307, headers=[
            ('Location', f'http://{other.host}/v2/app/manifests/v1')])
        assert client_of(server.host, settings, USER).fetch('GET', '/v2/app/manifests/v1', PULL).status == 401
        assert {request.authorization for request in other.requests} == {None}


def test_a_realm_that_is_no_url_is_named(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard(set(), 'Bearer realm="/token",service="s"')
    with pytest.raises(AccessDenied, match=f"^{server.host} names '/token' as its token server"):
        client_of(server.host, settings, USER).fetch('GET', '/x', PULL)


def test_a_second_realm_counts_where_the_first_is_no_url(server: Scripted, settings: Settings) -> None:
    challenge = f'Bearer realm="/token",service="s", Bearer realm="http://{server.host}/token",service="s"'
    server.routes['GET /token'] = Answer(200, b'{"token": "good\\n"}')
    server.routes['GET /x'] = guard({'Bearer good'}, challenge)
    assert client_of(server.host, settings).fetch('GET', '/x', PULL).status == 200


def test_wrong_password(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard(set(), 'Basic realm="r"')
    client = client_of(server.host, settings, USER)
    reply = client.fetch('GET', '/x', PULL)
    error = client.failure(reply, 'x cannot be read')
    assert isinstance(error, AccessDenied) and 'refuses access with the given credentials' in str(error)
    with pytest.raises(AccessDenied, match=server.host):
        client.fetch('GET', '/x', PULL)
    assert len(server.received('GET', '/x')) == 3 and settings.requests.retries == 0


@pytest.mark.parametrize('challenge', ['Basic realm="r"', 'Negotiate', ''])
def test_nothing_to_log_in_with(challenge: str, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard(set(), challenge)
    with pytest.raises(AccessDenied, match='docker login.*OCCYSTRAP_USERNAME'):
        client_of(server.host, settings).fetch('GET', '/x', PULL)


@pytest.mark.parametrize('name', ['token', 'access_token'])
@pytest.mark.parametrize('query', ['', '?account=me&empty='])
def test_bearer(query: str, name: str, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({'Bearer tok'}, f'{bearer(server, query)},scope="{PULL}", Basic realm="r"')
    server.routes['GET /token'] = token(name=name)
    assert client_of(server.host, settings, USER).fetch('GET', '/x', PUSH).status == 200
    request, = server.received('GET', '/token')
    assert request.query == {'service': ['the service'], 'scope': [PUSH]} | ({'account': ['me']} if query else {})
    assert request.authorization == BASIC
    assert 'scope=repository%3Aapp%3Apull%2Cpush' in request.target


def test_anonymous_bearer(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({'Bearer tok'}, bearer(server))
    server.routes['GET /token'] = token()
    assert client_of(server.host, settings).fetch('GET', '/x', PULL).status == 200
    assert server.received('GET', '/token')[0].authorization is None


def test_one_token_serves_all_threads(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({'Bearer tok'}, bearer(server))
    server.routes['GET /token'] = token(expires_in=300)
    client = client_of(server.host, settings, USER)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(client.fetch('GET', '/x', PULL).status))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8 and len(server.received('GET', '/token')) == 1
    assert client.fetch('GET', '/x', PUSH).status == 200 and len(server.received('GET', '/token')) == 2


def test_a_token_that_is_refused_is_renewed_once(server: Scripted, settings: Settings) -> None:
    accepted = {'Bearer one'}
    server.routes['GET /x'] = guard(accepted, f'{bearer(server)},error="invalid_token"')
    server.routes['GET /token'] = [token('one'), token('two'), token('three')]
    client = client_of(server.host, settings, USER)
    assert client.fetch('GET', '/x', PULL).status == 200
    accepted.clear()
    accepted.add('Bearer two')
    assert client.fetch('GET', '/x', PULL).status == 200
    accepted.clear()
    assert client.fetch('GET', '/x', PULL).status == 401
    assert len(server.received('GET', '/token')) == 3 and settings.requests.retries == 0


def test_a_token_is_renewed_before_it_runs_out(server: Scripted, settings: Settings,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes['GET /x'] = guard({'Bearer one', 'Bearer two'}, bearer(server))
    server.routes['GET /token'] = [token('one', expires_in=100), token('two', expires_in=100)]
    client = client_of(server.host, settings)
    client.fetch('GET', '/x', PULL)
    now = time.monotonic()
    monkeypatch.setattr('time.monotonic', lambda: now + 90)
    client.fetch('GET', '/x', PULL)
    assert [request.authorization for request in server.received('GET', '/x')] == [None, 'Bearer one', 'Bearer two']


def test_insufficient_scope_is_asked_for_once_more(server: Scripted, settings: Settings) -> None:
    challenge = f'{bearer(server)},error="insufficient_scope",scope="{PUSH} repository:base:pull"'
    server.routes['POST /x'] = lambda request: (
        Answer(202) if request.authorization == 'Bearer more' else
        Answer(403, headers=[('WWW-Authenticate', challenge)]) if request.authorization else
        Answer(401, headers=[('WWW-Authenticate', bearer(server))]))
    server.routes['GET /token'] = [token('less'), token('more')]
    client = client_of(server.host, settings, USER)
    client.fetch('GET', '/v2/', PUSH)
    assert client.fetch('POST', '/x', PUSH).status == 202
    assert server.received('GET', '/token')[-1].query['scope'] == [PUSH, 'repository:base:pull']


def test_token_server_in_trouble(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({'Bearer tok'}, bearer(server))
    server.routes['GET /token'] = [Answer(503), token()]
    assert client_of(server.host, settings).fetch('GET', '/x', PULL).status == 200
    server.routes['GET /token'] = Answer(503)
    with pytest.raises(ServiceUnavailable, match='does not give a token'):
        client_of(server.host, settings).fetch('GET', '/x', PUSH)


def test_token_server_refuses_the_password(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard({'Bearer tok'}, bearer(server))
    server.routes['GET /token'] = Answer(401, b'{"details": "canary-password is wrong"}')
    with pytest.raises(AccessDenied, match='refuses access with the given credentials') as caught:
        client_of(server.host, settings, USER).fetch('GET', '/x', PULL)
    assert 'canary' not in str(caught.value)


@pytest.mark.parametrize('body', [b'', b'[]', b'{}', b'{"token": 1}', b'{"token": "a\\r\\nX-Evil: 1"}', b'[' * 9999,
                                  '{"token": "é"}'.encode(), b'{"token": "' + b'a' * (1 << 20) + b'"}'])
def test_bad_tokens(body: bytes, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = guard(set(), bearer(server))
    server.routes['GET /token'] = Answer(200, body)
    with pytest.raises(ServiceError, match='without a token'):
        client_of(server.host, settings).fetch('GET', '/x', PULL)


@pytest.mark.parametrize(('registry', 'realm', 'gets_login'), [
    ('https://registry.example', 'https://auth.example/token', True),
    ('https://registry.example', 'https://registry.example/token', True),
    ('http://registry.example:5000', 'http://registry.example:5000/token', True),
    ('http://registry.example:5000', 'http://registry.example/token', False),
    ('http://registry.example:5000', 'http://auth.example/token', False),
    ('http://registry.example:5000', 'http://127.0.0.1:9/token', True),
    ('https://registry.example', 'http://auth.example/token', None),
    ('https://registry.example', 'http://registry.example/token', None),
    ('https://registry.example', 'http://169.254.169.254/latest', None),
    ('http://registry.example', 'http://[fe80::1]/latest', None),
    ('https://registry.example', 'https://metadata.google.internal/', None),
    ('https://registry.example', 'file:///etc/passwd', None),
    ('https://registry.example', '/token', None),
    ('https://registry.example', 'https://a:port/', None),
])
def test_which_realms_get_credentials(registry: str, realm: str, gets_login: bool | None) -> None:
    challenge = Challenge('bearer', {'realm': realm})
    if gets_login is None:
        with pytest.raises(AccessDenied, match='registry.example names '):
            token_url(challenge, PULL, parse_url(registry))
    else:
        assert may_get_login(token_url(challenge, PULL, parse_url(registry)), parse_url(registry)) is gets_login


NO_NUMBER = float('nan')  # which Python writes and JSON does not have


@pytest.mark.parametrize('lifetime', [None, 0, -1, 'soon', [1], NO_NUMBER, '300'])
def test_odd_lifetimes(lifetime: object) -> None:
    reply = Reply(200, Headers(), parse_url('https://a'),
                  json.dumps({'token': 'tok', 'expires_in': lifetime}).encode())
    if lifetime is NO_NUMBER:
        with pytest.raises(ServiceError):
            read_token(reply, 'a', str)
    else:
        assert 5 <= read_token(reply, 'a', str).lifetime <= 240


def test_a_server_that_repeats_secrets_is_not_quoted(server: Scripted, settings: Settings) -> None:
    def echo(request: Request) -> Answer:
        if not request.authorization:
            return Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
        message = f'{request.authorization} means canary-password\x1b[31m\nred'
        return Answer(400, json.dumps({'errors': [{'message': message}]}).encode())
    server.routes['GET /x'] = echo
    client = client_of(server.host, settings, USER)
    text = str(client.failure(client.fetch('GET', '/x', PULL), 'x'))
    assert 'means' in text and 'canary' not in text and BASIC.split()[1] not in text
    assert '\x1b' not in text and '\n' not in text


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What --debug shows."""
    text, logger = io.StringIO(), logging.getLogger('occystrap')
    level, handler = logger.level, logging.StreamHandler(text)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_debug_log_has_no_secrets(server: Scripted, settings: Settings, log: io.StringIO) -> None:
    server.routes['GET /x'] = guard({'Bearer canary-token'}, bearer(server))
    server.routes['GET /token'] = token('canary-token')
    client_of(server.host, settings, USER).fetch('GET', '/x?signature=canary', PULL)
    assert f'GET http://{server.host}/x' in log.getvalue()
    assert 'canary' not in log.getvalue() and BASIC.split()[1] not in log.getvalue()
