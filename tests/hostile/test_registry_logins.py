"""HOSTILE 41 to 45, 70 to 72: challenges, scopes, tokens that run out, realms that lure, helpers, files, hosts.

What is said to the parts alone is in tests/unit/registry; here a user runs the command.
"""
import base64
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.testing.sample import sample_image
from tests.services.command_line import CommandLine, CommandResult
from tests.services.ports import own_address
from tests.services.requirements import ServiceUnavailable
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

USER, PASSWORD = 'me', 'canary-password'
BASIC = f'Basic {base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}'
LOGIN = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD}
PULL = 'repository:app:pull'


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry with an image at app:v1."""
    with Scripted() as started:
        serve(started, sample_image())
        yield started


@pytest.fixture
def pull(server: Scripted, occystrap: CommandLine) -> Callable[..., CommandResult]:
    """Run the command that copies the image."""
    def run(*options: str, env: dict[str, str] = LOGIN) -> CommandResult:
        done = occystrap('process', f'registry://{server.host}/app:v1', 'dir://out', *options, env=env)
        assert (occystrap.directory / 'out').exists() is (done.code == 0), str(done)
        return done
    return run


def guard(server: Scripted, accepted: Callable[[str | None], bool], *challenges: str) -> None:
    """Let all that the registry has be had with the right Authorization alone."""
    def guarded(route: Any) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            if not accepted(request.authorization):
                return Answer(401, headers=[('WWW-Authenticate', each) for each in challenges])
            return route if isinstance(route, Answer) else route(request)  # type: ignore[no-any-return]
        return answer
    server.routes.update({key: guarded(route) for key, route in server.routes.items() if '/v2/' in key})


def token(text: str = 'tok', name: str = 'token', **more: object) -> Answer:
    return Answer(200, json.dumps({name: text, **more}).encode())


def write_config(occystrap: CommandLine, document: dict[str, Any]) -> Path:
    path = occystrap.directory / 'home/.docker/config.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def write_helper(occystrap: CommandLine, script: str, name: str = 'box') -> dict[str, str]:
    """Put docker-credential-NAME into PATH; returns the environment that has it."""
    program = occystrap.directory / 'bin' / f'docker-credential-{name}'
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\n{script}\n')
    program.chmod(0o755)
    return {'PATH': f'{occystrap.directory}/bin:{os.environ["PATH"]}'}


def is_refused(result: CommandResult, code: int = 1) -> str:
    """Return the one line of an error."""
    line, = result.assert_code(code).errors
    assert 'canary' not in line + result.out
    return line


@pytest.mark.parametrize('name', ['token', 'access_token'])
@pytest.mark.parametrize('challenges', [
    ['Bearer realm="{realm}",service="s"'],
    ['bearer  scope="x:y:z", extra="a, b=\\"c\\"" , Service=s, REALM="{realm}?a=b"'],
    ['Basic realm="a, b", Bearer realm={realm},service="s",error="invalid_token"'],
    ['Negotiate', 'Bearer service="s",realm="{realm}"', 'Basic realm="x"'],
])
def test_41_challenges_in_any_form(challenges: list[str], name: str, server: Scripted,
                                   pull: Callable[..., CommandResult]) -> None:
    realm = f'http://{server.host}/token'
    guard(server, lambda sent: sent == 'Bearer tok', *(each.replace('{realm}', realm) for each in challenges))
    server.routes['GET /token'] = token(name=name)
    pull('--verify=full').assert_success()
    assert {request.authorization for request in server.received('GET', '/token')} == {BASIC}


@pytest.mark.parametrize('place', ['config', 'manifest'])
def test_42_scopes_are_encoded_and_insufficient_ones_asked_for_once_more(
        place: str, server: Scripted, pull: Callable[..., CommandResult]) -> None:
    manifest = sample_image().manifest
    assert manifest
    path = 'GET /v2/app/manifests/v1' if place == 'manifest' else f'GET /v2/app/blobs/{manifest.config.digest}'
    challenge = f'Bearer realm="http://{server.host}/token",service="s"'
    more = f'{challenge},error="insufficient_scope",scope="repository:app:pull,push repository:base:pull"'
    server.routes[path] = Answer(403, headers=[('WWW-Authenticate', more)])
    guard(server, bool, challenge)
    server.routes['GET /token'] = token()
    assert server.host in is_refused(pull())
    requests = server.received('GET', '/token')
    assert 'scope=repository%3Aapp%3Apull' in requests[0].target and len(requests) == 2
    assert requests[1].query['scope'] == [PULL, 'repository:app:pull,push', 'repository:base:pull']


def test_43_a_token_that_runs_out_in_a_download(server: Scripted, pull: Callable[..., CommandResult]) -> None:
    good = ['Bearer one']
    layer = sample_image().layers[-1].descriptor
    assert layer
    path = f'GET /v2/app/blobs/{layer.digest}'
    whole = server.routes[path]
    assert isinstance(whole, Answer)

    def breaks_off(request: Request) -> Answer:
        if 'range' in request.headers:
            return Answer(206, whole.body[20:], [('Content-Range', f'bytes 20-{layer.size - 1}/{layer.size}')])
        good[0] = 'Bearer two'
        return Answer(200, whole.body, cut=20)
    server.routes[path] = breaks_off
    guard(server, lambda sent: sent == good[0], f'Bearer realm="http://{server.host}/token"')
    server.routes['GET /token'] = [token('one', expires_in=600), token('two', expires_in=600)]
    pull('--jobs=1').assert_success()
    assert len(server.received('GET', '/token')) == 2


def test_43_tokens_that_are_never_good_enough_end(server: Scripted, pull: Callable[..., CommandResult]) -> None:
    guard(server, lambda sent: False, f'Bearer realm="http://{server.host}/token"')
    server.routes['GET /token'] = token()
    assert 'refuses access with the given credentials' in is_refused(pull())
    assert len(server.received('GET', '/token')) <= 2


@pytest.mark.parametrize('realm', ['http://169.254.169.254/latest', 'http://metadata.google.internal/x',
                                   'http://[fe80::1]/x', 'file:///etc/passwd', 'gopher://127.0.0.1/x', '//x', ''])
def test_44_realms_that_get_no_request(realm: str, server: Scripted, pull: Callable[..., CommandResult]) -> None:
    guard(server, lambda sent: False, f'Bearer realm="{realm}"')
    begun = time.monotonic()
    assert 'as its token server, which is refused' in is_refused(pull())
    assert time.monotonic() - begun < 10 and not any(request.authorization for request in server.requests)


def test_44_another_host_gets_no_login_over_http(server: Scripted, pull: Callable[..., CommandResult]) -> None:
    try:
        address = own_address()
    except ServiceUnavailable as reason:
        pytest.skip(str(reason))
    with Scripted(address=address) as elsewhere:
        guard(server, lambda sent: sent == 'Bearer tok', f'Bearer realm="http://{elsewhere.host}/token"')
        elsewhere.routes['GET /token'] = token()
        pull().assert_success()
        assert elsewhere.requests and not any(request.authorization for request in elsewhere.requests)


def test_44_an_identity_token_goes_to_no_other_host_either(server: Scripted, pull: Callable[..., CommandResult],
                                                           occystrap: CommandLine) -> None:
    write_config(occystrap, {'auths': {server.host: {'identitytoken': PASSWORD}}})
    try:
        address = own_address()
    except ServiceUnavailable as reason:
        pytest.skip(str(reason))
    with Scripted(address=address) as elsewhere:
        guard(server, lambda sent: False, f'Bearer realm="http://{elsewhere.host}/token"')
        pull(env={}).assert_code(1)
        assert elsewhere.requests and not any(PASSWORD.encode() in request.body for request in elsewhere.requests)


def test_45_a_redirect_takes_no_authorization_along(server: Scripted, pull: Callable[..., CommandResult]) -> None:
    layer = sample_image().layers[0].descriptor
    assert layer
    path = f'/v2/app/blobs/{layer.digest}'
    with Scripted() as storage:
        storage.routes['GET /signed'] = server.routes[f'GET {path}']
        server.routes[f'GET {path}'] = Answer(307, headers=[('Location', f'http://{storage.host}/signed?sig=1')])
        guard(server, lambda sent: sent == BASIC, 'Basic realm="r"')
        pull('--verify=full').assert_success()
        assert storage.received('GET', '/signed') and not any(request.authorization for request in storage.requests)


@pytest.mark.parametrize('mode', [0o644, 0o666, 0o400, None])
def test_70_a_file_with_a_login_is_for_its_owner_alone(mode: int | None, server: Scripted, occystrap: CommandLine,
                                                       ) -> None:
    path = occystrap.directory / 'home/.docker/config.json'
    if mode:
        write_config(occystrap, {}).chmod(mode)
    umask = ('sh', '-c', 'umask 0; exec "$@"', 'sh')
    occystrap('login', server.host, '--username', USER, '--password-stdin', input=PASSWORD, wrapper=umask,
              ).assert_success()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(path.parent) == ['config.json']


def test_70_a_login_that_cannot_be_written_leaves_the_old_file(server: Scripted, occystrap: CommandLine) -> None:
    path = write_config(occystrap, {'auths': {'other.example': {'auth': 'eDp5' * 2000}}})
    before = path.read_bytes()
    failed = occystrap('login', server.host, '--username', USER, '--password-stdin', input=PASSWORD,
                       wrapper=('prlimit', '--fsize=4096'))
    assert str(path) in is_refused(failed)
    assert path.read_bytes() == before and os.listdir(path.parent) == ['config.json']


@pytest.mark.parametrize('name', ['../bin/docker-credential-box', 'a/b', '/bin/true', '..', 'a..b', '-x', 'x y',
                                  'box;touch pwned', '$(touch pwned)', 'é', 'box\n'])
def test_71_names_of_helpers(name: str, server: Scripted, pull: Callable[..., CommandResult], occystrap: CommandLine,
                             ) -> None:
    guard(server, lambda sent: False, 'Basic realm="r"')
    env = write_helper(occystrap, f'touch {occystrap.directory}/pwned')
    (occystrap.directory / 'bin/docker-credential-a').mkdir()
    write_helper(occystrap, f'touch {occystrap.directory}/pwned', 'a/b')
    write_config(occystrap, {'credsStore': name})
    assert 'is not the name of a credential helper' in is_refused(pull(env=env), code=2)
    assert not (occystrap.directory / 'pwned').exists()


def test_71_the_server_comes_on_stdin(server: Scripted, pull: Callable[..., CommandResult], occystrap: CommandLine,
                                      ) -> None:
    guard(server, lambda sent: sent == BASIC, 'Basic realm="r"')
    answer = json.dumps({'ServerURL': server.host, 'Username': USER, 'Secret': PASSWORD})
    env = write_helper(occystrap, f'echo "$@" > {occystrap.directory}/words; cat > {occystrap.directory}/stdin\n'
                                  f"echo '{answer}'")
    write_config(occystrap, {'credHelpers': {server.host: 'box'}, 'credsStore': 'missing'})
    pull(env=env).assert_success()
    assert (occystrap.directory / 'words').read_text() == 'get\n'
    assert (occystrap.directory / 'stdin').read_text() == server.host


def test_71_an_identity_token_from_a_helper(server: Scripted, pull: Callable[..., CommandResult],
                                            occystrap: CommandLine) -> None:
    guard(server, lambda sent: sent == 'Bearer tok', f'Bearer realm="http://{server.host}/token"')
    server.routes['POST /token'] = token(name='access_token')
    env = write_helper(occystrap, f"""echo '{{"Username": "<token>", "Secret": "{PASSWORD}"}}'""")
    write_config(occystrap, {'credsStore': 'box'})
    pull(env=env).assert_success()
    assert f'refresh_token={PASSWORD}'.encode() in server.received('POST', '/token')[0].body


@pytest.mark.parametrize(('script', 'words'), [
    ('sleep 60', 'did not end within 1 seconds'),
    ('echo canary', 'malformed login'),
    ('echo \'{"Username": "canary"}\'', 'malformed login'),
    ('echo \'{"Username": 1, "Secret": "canary"}\'', 'malformed login'),
    ('echo "[]"', 'malformed login'),
    ('echo canary; echo canary >&2; exit 3', 'ended with code 3'),
    ('kill -9 $$', 'ended with code -9'),
])
def test_71_helpers_that_fail(script: str, words: str, server: Scripted, pull: Callable[..., CommandResult],
                              occystrap: CommandLine) -> None:
    guard(server, lambda sent: False, 'Basic realm="r"')
    env = write_helper(occystrap, script)
    write_config(occystrap, {'credsStore': 'box'})
    begun = time.monotonic()
    line = is_refused(pull('--timeout=1', env=env), code=2)
    assert words in line and 'docker-credential-box' in line and time.monotonic() - begun < 20


def test_71_a_helper_that_is_not_there(server: Scripted, pull: Callable[..., CommandResult], occystrap: CommandLine,
                                       ) -> None:
    guard(server, lambda sent: False, 'Basic realm="r"')
    write_config(occystrap, {'credsStore': 'missing'})
    assert 'docker-credential-missing' in is_refused(pull(env={}), code=2)


@pytest.mark.parametrize('script', ['echo credentials not found in native keychain; exit 1',
                                    'echo \'{"Username": "", "Secret": ""}\''])
def test_71_not_found_means_anonymous(script: str, server: Scripted, pull: Callable[..., CommandResult],
                                      occystrap: CommandLine) -> None:
    guard(server, lambda sent: sent == 'Bearer tok', f'Bearer realm="http://{server.host}/token"')
    server.routes['GET /token'] = token()
    env = write_helper(occystrap, script)
    write_config(occystrap, {'credsStore': 'box'})
    pull(env=env).assert_success()
    assert {request.authorization for request in server.received('GET', '/token')} == {None}


def test_72_only_the_very_host_and_port(server: Scripted, pull: Callable[..., CommandResult], occystrap: CommandLine,
                                        ) -> None:
    guard(server, lambda sent: False, 'Basic realm="r"')
    address, _, port = server.host.partition(':')
    others = [server.host[:-1], f'{server.host}0', address, f'{address}:80', f'{server.host}.evil', f'x{server.host}',
              f'{server.host}/other', f'{server.host}/ap', f'{server.host}/app/more', f'http://{address}/{port}',
              f'{address}:{port[::-1]}1', f'{server.host}@evil']
    auth = {'auth': base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}
    env = write_helper(occystrap, f'touch {occystrap.directory}/pwned')
    write_config(occystrap, {'auths': dict.fromkeys(others, auth), 'credHelpers': dict.fromkeys(others, 'box')})
    assert 'requires credentials' in is_refused(pull(env=env))
    assert not any(request.authorization for request in server.requests)
    assert not (occystrap.directory / 'pwned').exists()
