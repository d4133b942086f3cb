"""HOSTILE 68 and 69: no password, token or signed address in anything that a command says or leaves behind."""
import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from occystrap_core.testing.sample import sample_image
from tests.services.command_line import CommandLine, CommandResult
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

USER, PASSWORD = 'me', 'canary pass/word:1'
BASIC = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
TOKEN, SIGNATURE, IDENTITY = 'canary-token', 'canary-signature', 'canary-identity'
SECRETS = ('canary', BASIC, quote(PASSWORD), quote(PASSWORD, safe=''))
LOGIN = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD}
CONFIG = 'home/.docker/config.json'


@pytest.fixture
def storage() -> Iterator[Scripted]:
    """Where signed addresses lead."""
    with Scripted() as started:
        yield started


@pytest.fixture
def server(storage: Scripted) -> Iterator[Scripted]:
    """A registry that requires tokens and redirects to signed addresses for layers."""
    with Scripted() as started:
        serve(started, sample_image())
        for layer in sample_image().layers:
            assert layer.descriptor
            path = f'GET /v2/app/blobs/{layer.descriptor.digest}'
            storage.routes[f'GET /{layer.descriptor.digest}'] = started.routes[path]
            signed = f'http://{storage.host}/{layer.descriptor.digest}?X-Amz-Signature={SIGNATURE}'
            started.routes[path] = Answer(307, headers=[('Location', signed)])
        guard(started)
        yield started


def guard(server: Scripted) -> None:
    challenge = f'Bearer realm="http://{server.host}/token",service="s"'

    def guarded(route: Any) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            return route if request.authorization == f'Bearer {TOKEN}' else Answer(  # type: ignore[no-any-return]
                401, headers=[('WWW-Authenticate', challenge)])
        return answer
    server.routes.update({key: guarded(route) for key, route in server.routes.items()})
    granted = Answer(200, json.dumps({'token': TOKEN, 'refresh_token': IDENTITY}).encode())
    server.routes['GET /token'] = lambda request: granted if request.authorization == f'Basic {BASIC}' else Answer(401)
    server.routes['POST /token'] = lambda request: granted if IDENTITY.encode() in request.body else Answer(401)


def leaks(result: CommandResult, directory: Path, *kept: str) -> list[str]:
    """Return where secrets can be read: what was said, and all files below but those that keep logins."""
    texts = {'stdout': result.out, 'stderr': result.err}
    files = (Path(root, name) for root, _, names in os.walk(directory) for name in names)
    texts |= {str(file.relative_to(directory)): file.read_text(errors='replace') for file in files}
    return [f'{secret} in {place}' for place, text in texts.items() for secret in SECRETS
            if secret in text and place not in kept]


def uri(server: Scripted, login: str = '') -> str:
    return f'registry://{login}{server.host}/app:v1'


WAYS = ['environment', 'uri', 'options', 'stdin', 'config', 'identity', 'helper']


def given(way: str, server: Scripted, occystrap: CommandLine) -> dict[str, Any]:
    """Return the source, options, environment and input of a command that logs in this way."""
    path = occystrap.directory / CONFIG
    path.parent.mkdir(parents=True)
    found: dict[str, Any] = {'source': uri(server), 'options': [], 'env': {'TMPDIR': str(occystrap.directory)}}
    if way == 'environment':
        found['env'] |= LOGIN
    if way == 'uri':
        found['source'] = uri(server, f'{USER}:{quote(PASSWORD, safe="")}@')
    if way == 'options':
        found['source'] += f'?username={USER}&password={quote(PASSWORD, safe="")}'
    if way == 'stdin':
        found |= {'options': ['--username', USER, '--password-stdin'], 'input': PASSWORD}
    if way in ('config', 'identity'):
        entry = {'auth': BASIC} if way == 'config' else {'identitytoken': IDENTITY}
        path.write_text(json.dumps({'auths': {server.host: entry}}))
    if way == 'helper':
        helper = occystrap.directory / 'docker-credential-box'
        helper.write_text(f"#!/bin/sh\necho '{json.dumps({'Username': USER, 'Secret': PASSWORD})}'\n")
        helper.chmod(0o755)
        path.write_text(json.dumps({'credsStore': 'box'}))
        found['env']['PATH'] = f'{occystrap.directory}:{os.environ["PATH"]}'
    return found


KEPT = (CONFIG, 'docker-credential-box')


@pytest.mark.parametrize('way', WAYS)
def test_68_when_all_goes_well(way: str, server: Scripted, occystrap: CommandLine) -> None:
    login = given(way, server, occystrap)
    source, options = login.pop('source'), login.pop('options')
    done = occystrap('process', source, 'dir://out', '--debug', '-O', 'json', '--receipt', 'receipt', '--verify=full',
                     *options, **login).assert_success()
    assert f'GET http://{server.host}/v2/app/manifests/v1 200' in done.err, 'there is a log, it holds no secrets'
    assert not leaks(done, occystrap.directory, *KEPT)
    assert not leaks(occystrap('verify', 'receipt', '--debug', '-O', 'json'), occystrap.directory, *KEPT)


def _echo(status: int) -> Callable[[Request], Answer]:
    """Return a route of a server that repeats what it received."""
    def answer(request: Request) -> Answer:
        if not request.authorization:
            return Answer(401, headers=[('WWW-Authenticate', 'Basic realm="canary"')])
        text = f'{request.authorization} {PASSWORD} {quote(PASSWORD)}'
        return Answer(status, json.dumps({'errors': [{'message': text}]}).encode())
    return answer


def _wrong_password(server: Scripted, storage: Scripted) -> None:
    server.routes['GET /token'] = Answer(401, f'{PASSWORD} is wrong'.encode())
    server.routes['POST /token'] = Answer(400, f'{{"error": "invalid_grant", "hint": "{IDENTITY}"}}'.encode())


def _token_server_broken(server: Scripted, storage: Scripted) -> None:
    server.routes['GET /token'] = server.routes['POST /token'] = Answer(500, TOKEN.encode())


def _token_that_is_none(server: Scripted, storage: Scripted) -> None:
    token_answer = Answer(200, json.dumps({'token': f'{TOKEN}\r\nX: y', 'expires_in': 'canary'}).encode())
    server.routes['GET /token'] = server.routes['POST /token'] = token_answer


def _manifest_refused(server: Scripted, storage: Scripted) -> None:
    server.routes['GET /v2/app/manifests/v1'] = _echo(403)


def _manifest_broken(server: Scripted, storage: Scripted) -> None:
    server.routes['GET /v2/app/manifests/v1'] = _echo(500)


def _storage_refuses(server: Scripted, storage: Scripted) -> None:
    storage.routes = {key: Answer(403, f'<Signature>{SIGNATURE}</Signature>'.encode()) for key in storage.routes}


def _storage_repeats_the_url(server: Scripted, storage: Scripted) -> None:
    def refuse(request: Request) -> Answer:
        return Answer(403, f'<Error><Message>{request.target} has expired</Message></Error>'.encode())
    storage.routes = dict.fromkeys(storage.routes, refuse)


def _storage_breaks_off(server: Scripted, storage: Scripted) -> None:
    storage.routes = {key: Answer(silent=True) for key in storage.routes}


def _storage_sends_on(server: Scripted, storage: Scripted) -> None:
    target = f'http://127.0.0.1:1/?X-Amz-Signature={SIGNATURE}'
    storage.routes = {key: Answer(307, headers=[('Location', target)]) for key in storage.routes}


def _storage_sends_nowhere(server: Scripted, storage: Scripted) -> None:
    target = f'ftp://user:{SIGNATURE}@other.example/?X-Amz-Signature={SIGNATURE}'
    storage.routes = {key: Answer(307, headers=[('Location', target)]) for key in storage.routes}


def _realm_with_secrets(server: Scripted, storage: Scripted) -> None:
    realm = f'Bearer realm="http://{SIGNATURE}:x@169.254.169.254/?key={SIGNATURE}"'
    server.routes['GET /v2/app/manifests/v1'] = Answer(401, headers=[('WWW-Authenticate', realm)])


@pytest.mark.parametrize('way', ['environment', 'uri', 'identity', 'helper'])
@pytest.mark.parametrize('fault', [
    _wrong_password, _token_server_broken, _token_that_is_none, _manifest_refused, _manifest_broken, _storage_refuses,
    _storage_repeats_the_url, _storage_breaks_off, _storage_sends_on, _storage_sends_nowhere, _realm_with_secrets])
def test_68_when_something_fails(fault: Callable[[Scripted, Scripted], None], way: str, server: Scripted,
                                 storage: Scripted, occystrap: CommandLine) -> None:
    fault(server, storage)
    login = given(way, server, occystrap)
    source, options = login.pop('source'), login.pop('options')
    failed = occystrap('process', source, 'tar://out.tar', '--debug', '--retries=1', '--receipt', 'receipt', *options,
                       **login)
    assert failed.code == 1, str(failed)
    assert not leaks(failed, occystrap.directory, *KEPT)


SPELT = quote(PASSWORD)
MISTAKES = [
    f'registri://{USER}:{SPELT}@quay.io/app', f'registry://{USER}:{SPELT}@/app',
    f'registry://{USER}:{SPELT}@quay.io/APP', f'registry://{USER}:{SPELT}@quay.io:x/app',
    f'registry://{USER}:{SPELT}@quay.io/app:bad tag',
    f'registry://{USER}:{SPELT}@quay.io/a@sha256:x', f'registry://{USER}:{SPELT}@quay.io/app?bogus=1',
    f'registry://{USER}:{SPELT}@127.0.0.1:1/app', f'registry://quay.io/app?passwort={SPELT}',
    f'registry://127.0.0.1:1/app?password={SPELT}', f'registry://quay.io/app?password={SPELT}',
    f'registry://:{SPELT}@quay.io/app', f'registry://quay.io/app?password={SPELT}&password=x',
]


@pytest.mark.parametrize('address', MISTAKES)
@pytest.mark.parametrize('role', ['source', 'destination', 'verify'])
def test_69_addresses_with_a_mistake(role: str, address: str, occystrap: CommandLine) -> None:
    words = {'source': ['process', address, 'dir://out'], 'destination': ['process', 'dir://missing', address],
             'verify': ['verify', address]}[role]
    failed = occystrap(*words, '--debug', '--retries=0', env={'TMPDIR': str(occystrap.directory)})
    assert failed.code in (1, 2) and not leaks(failed, occystrap.directory)


@pytest.mark.parametrize('words', [
    ['--username', USER, '--password', PASSWORD], ['--username', USER, '--password', PASSWORD, '--bogus'],
    ['--username', f'{USER}:x', '--password', PASSWORD], ['--password', PASSWORD, '--password-stdin']])
def test_69_login_warns_of_ps_and_prints_no_secret(words: list[str], server: Scripted, occystrap: CommandLine) -> None:
    done = occystrap('--debug', 'login', server.host, *words)
    assert not leaks(done, occystrap.directory, CONFIG)
    assert done.code == 0 or not (occystrap.directory / CONFIG).exists()
    assert '--bogus' in words or '--password-stdin' in done.err


@pytest.mark.parametrize('fault', [_wrong_password, _token_server_broken, _token_that_is_none])
def test_68_login_and_logout(fault: Callable[[Scripted, Scripted], None], server: Scripted, storage: Scripted,
                             occystrap: CommandLine) -> None:
    words = ['--debug', 'login', server.host, '--username', USER, '--password-stdin', '--timeout=5']
    done = occystrap(*words, input=PASSWORD).assert_success()
    assert not leaks(done, occystrap.directory, CONFIG) and BASIC in (occystrap.directory / CONFIG).read_text()
    fault(server, storage)
    assert not leaks(occystrap(*words, input=PASSWORD).assert_code(1), occystrap.directory, CONFIG)
    assert not leaks(occystrap('--debug', 'logout', server.host).assert_success(), occystrap.directory)
