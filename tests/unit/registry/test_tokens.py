"""Tokens: the ways to ask for one, how long they are used, and that a run asks once."""
import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from occystrap_core import AccessDenied, Settings
from occystrap_registry.auth.challenges import Challenge
from occystrap_registry.auth.tokens import read_token, token_url
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.url import parse_url
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

PULL = 'repository:app:pull'
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def guarded(server: Scripted) -> Iterator[Scripted]:
    """A server that requires a token for /x."""
    challenge = f'Bearer realm="http://{server.host}/token?a=b",service="s s"'
    server.routes['GET /x'] = lambda request: (
        Answer() if (request.authorization or '').startswith('Bearer tok') else
        Answer(401, headers=[('WWW-Authenticate', challenge)]))
    yield server


def token(text: str = 'tok', **more: object) -> Answer:
    return Answer(200, json.dumps({'access_token': text, **more}).encode())


def log_in(entry: dict[str, Any], server: Scripted, tmp_path: Path) -> None:
    (tmp_path / 'docker').mkdir(exist_ok=True)
    (tmp_path / 'docker/config.json').write_text(json.dumps({'auths': {server.host: entry}}))


def form(request: Request) -> dict[str, list[str]]:
    assert request.headers['content-type'] == 'application/x-www-form-urlencoded' and request.authorization is None
    return parse_qs(request.body.decode(), strict_parsing=True)


def test_an_identity_token_is_exchanged_by_post(guarded: Scripted, settings: Settings, tmp_path: Path) -> None:
    log_in({'auth': base64.b64encode(b'me:').decode(), 'identitytoken': 'canary'}, guarded, tmp_path)
    guarded.routes['POST /token'] = token()
    assert client_of(guarded.host, settings).fetch('GET', '/x', PULL).status == 200
    request, = guarded.received('POST', '/token')
    assert request.target == '/token?a=b' and form(request) == {
        'grant_type': ['refresh_token'], 'refresh_token': ['canary'], 'service': ['s s'], 'scope': [PULL],
        'client_id': ['occystrap']}
    assert not guarded.received('GET', '/token')


@pytest.mark.parametrize('say', [Answer(401), Answer(400, b'{"error": "invalid_grant"}')])
def test_an_identity_token_that_ran_out(say: Answer, guarded: Scripted, settings: Settings, tmp_path: Path) -> None:
    log_in({'identitytoken': 'canary'}, guarded, tmp_path)
    guarded.routes['POST /token'] = say
    with pytest.raises(AccessDenied, match='refuses access with the given credentials') as caught:
        client_of(guarded.host, settings).fetch('GET', '/x', PULL)
    assert 'canary' not in str(caught.value)


def test_an_identity_token_is_no_password(server: Scripted, settings: Settings, tmp_path: Path) -> None:
    log_in({'auth': base64.b64encode(b'me:').decode(), 'identitytoken': 'canary'}, server, tmp_path)
    server.routes['GET /x'] = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
    with pytest.raises(AccessDenied):
        client_of(server.host, settings).fetch('GET', '/x', PULL)
    assert not any(request.authorization for request in server.requests)


@pytest.mark.parametrize('status', [404, 405])
def test_servers_that_know_oauth_alone(status: int, guarded: Scripted, settings: Settings) -> None:
    guarded.routes['GET /token'], guarded.routes['POST /token'] = Answer(status), token()
    assert client_of(guarded.host, settings, ('me', 'a b&c')).fetch('GET', '/x', PULL).status == 200
    request, = guarded.received('POST', '/token')
    assert form(request) == {'grant_type': ['password'], 'username': ['me'], 'password': ['a b&c'], 'service': ['s s'],
                             'scope': [PULL], 'client_id': ['occystrap']}


def test_many_images_of_one_host_log_in_once(guarded: Scripted, settings: Settings) -> None:
    guarded.routes['GET /token'] = token(expires_in=300)

    def pull(number: int) -> int:
        return client_of(guarded.host, settings, ('me', 'secret')).fetch('GET', '/x', PULL).status
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(pull, range(50))) == {200}
    assert len(guarded.received('GET', '/token')) == 1
    settings.shared.close()
    pull(0)
    assert len(guarded.received('GET', '/token')) == 2, 'another run logs in again'


def test_a_new_scope_is_asked_for_without_a_refusal_first(guarded: Scripted, settings: Settings) -> None:
    guarded.routes['GET /token'] = [token('tok1'), token('tok2')]
    for repository in ('a', 'b'):
        client_of(guarded.host, settings).fetch('GET', '/x', f'repository:{repository}:pull')
    assert [request.authorization for request in guarded.received('GET', '/x')] == [None, 'Bearer tok1', 'Bearer tok2']
    assert guarded.received('GET', '/token')[1].query == {'a': ['b'], 'service': ['s s'],
                                                          'scope': ['repository:b:pull']}


def test_each_login_has_tokens_of_its_own(guarded: Scripted, settings: Settings) -> None:
    guarded.routes['GET /token'] = lambda request: token(
        f'tok-{base64.b64decode(str(request.authorization)[6:]).decode()}')
    for user in ('a', 'b'):
        client_of(guarded.host, settings, (user, 'x')).fetch('GET', '/x', PULL)
    sent = [request.authorization for request in guarded.received('GET', '/x')]
    assert sent == [None, 'Bearer tok-a:x', None, 'Bearer tok-b:x']


def test_several_scopes_are_asked_for_one_by_one() -> None:
    challenge = Challenge('bearer', {'realm': 'https://a.example/t', 'scope': 'repository:base:pull repository:x:pull'})
    url = token_url(challenge, 'repository:app:pull,push repository:base:pull', parse_url('https://a.example'))
    assert url.query == ('scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull&'
                         'scope=repository%3Ax%3Apull')


@pytest.mark.parametrize(('issued', 'date', 'seconds'), [
    (None, None, 80), ('2026-01-02T03:04:05Z', NOW, 80), ('2026-01-02T03:03:15.123456789Z', NOW, 40),
    ('2026-01-02T03:04:55Z', NOW, 80), ('2025-01-02T03:04:05Z', NOW, 80), ('soon', NOW, 80), (17, NOW, 80),
    ('2026-01-02T03:04:05', NOW, 80), ('2026-01-02T03:04:05Z', None, 80), ('2026-01-02T03:03:15Z', 'today', 80),
])
def test_how_long_a_token_is_used(issued: object, date: datetime | str | None, seconds: int) -> None:
    headers = {'date': date if isinstance(date, str) else format_datetime(date, usegmt=True)} if date else {}
    body = json.dumps({'token': 'tok', 'expires_in': 100, 'issued_at': issued}).encode()
    reply = Reply(200, Headers(headers.items()), parse_url('https://a'), body)
    assert read_token(reply, 'a', str).lifetime == pytest.approx(seconds, abs=1)


def test_the_local_clock_serves_where_the_server_tells_no_time() -> None:
    issued = (datetime.now(timezone.utc) - timedelta(seconds=50)).isoformat()
    body = json.dumps({'token': 'tok', 'expires_in': 100, 'issued_at': issued}).encode()
    reply = Reply(200, Headers(), parse_url('https://a'), body)
    assert read_token(reply, 'a', str).lifetime == pytest.approx(40, abs=2)


@pytest.mark.parametrize('status', [400, 403])
@pytest.mark.parametrize(('age', 'tokens'), [(0.0, 1), (60.0, 2)])
def test_an_old_token_is_renewed_after_a_refusal_without_a_challenge(
        status: int, age: float, tokens: int, guarded: Scripted, settings: Settings, monkeypatch: pytest.MonkeyPatch,
        ) -> None:
    guarded.routes['GET /token'] = [token('tok1', expires_in=300), token('tok2', expires_in=300)]
    guarded.routes['GET /y'] = lambda request: Answer() if request.authorization == 'Bearer tok2' else Answer(status,
                                                                                                              b'denied')
    client = client_of(guarded.host, settings)
    assert client.fetch('GET', '/x', PULL).status == 200
    now = time.time()
    monkeypatch.setattr(time, 'time', lambda: now + age)
    reply = client.fetch('GET', '/y', PULL)
    assert (reply.status, reply.body) == ((200, b'') if tokens == 2 else (status, b'denied'))
    assert len(guarded.received('GET', '/token')) == tokens
