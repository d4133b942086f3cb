"""HOSTILE 36, 39 and 55: registries that never come to an end, or say nothing at all."""
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from occystrap_core.testing.sample import sample_image
from tests.services.command_line import CommandLine, CommandResult
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

Pull = Callable[..., CommandResult]
IMAGE = sample_image()
assert IMAGE.manifest
MANIFEST = IMAGE.manifest
LAYER = MANIFEST.layers[1]
TAG, TOKEN = 'GET /v2/app/manifests/v1', 'GET /token'
CONFIG, BLOB = (f'GET /v2/app/blobs/{each.digest}' for each in (MANIFEST.config, LAYER))
CHUNK = b'10000\r\n' + b'a' * (1 << 16) + b'\r\n'
CHUNKED = [('Transfer-Encoding', 'chunked')]
LONG = [('Content-Length', str(1 << 60))]


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry with an image at app:v1."""
    with Scripted() as started:
        serve(started, IMAGE)
        yield started


@pytest.fixture
def pull(server: Scripted, occystrap: CommandLine) -> Pull:
    """Run the command that copies the image, with short deadlines; nothing is to be left of it."""
    def run(*options: str) -> CommandResult:
        done = occystrap('process', f'registry://{server.host}/app:v1', 'dir://out', '--timeout', '2', '--longest-wait',
                         '0.05', '--retries', '1', *options, timeout=60)
        assert left_in(occystrap) == [], str(done)
        return done
    return run


def left_in(occystrap: CommandLine) -> list[str]:
    return [str(path) for path in occystrap.directory.rglob('*') if path.name not in ('home', '.occystrap')]


def is_refused(result: CommandResult, *words: str) -> None:
    """Fail unless the error is one line with these words."""
    line, = result.assert_code(1).errors
    assert all(word in line for word in words) and len(line) < 1000, line


def want_tokens(server: Scripted) -> None:
    """Require a token for everything, which no server gives."""
    answer = Answer(401, headers=[('WWW-Authenticate', f'Bearer realm="http://{server.host}/token",service="s"')])
    server.routes = {name: answer for name in [*server.routes, 'GET /v2/']}


@pytest.mark.parametrize('headers', [CHUNKED, LONG], ids=['chunked', 'long'])
@pytest.mark.parametrize(('place', 'status', 'words'), [
    (TAG, 200, 'more than'), (CONFIG, 200, 'more than'), (BLOB, 200, str(LAYER.digest)), (TAG, 403, '403'),
    (BLOB, 404, str(LAYER.digest)), (TOKEN, 200, 'without a token'), (TOKEN, 403, 'credentials')])
def test_36_bodies_without_end(place: str, status: int, words: str, headers: list[tuple[str, str]], server: Scripted,
                               pull: Pull) -> None:
    if place is TOKEN:
        want_tokens(server)
    server.routes[place] = Answer(status, CHUNK if headers is CHUNKED else CHUNK[7:-2], headers, endless=True)
    is_refused(pull(), words)


@pytest.mark.parametrize('place', [TAG, BLOB])
def test_36_headers_without_end(place: str, server: Scripted, pull: Pull) -> None:
    server.routes[place] = Answer(200, b'', [('X', 'a' * 1000)] * 3000)
    is_refused(pull(), server.host)


@pytest.mark.parametrize('place', [TAG, CONFIG, BLOB])
def test_39_silence_in_mid_body(place: str, server: Scripted, pull: Pull) -> None:
    server.routes[place] = Answer(200, b'{}', LONG if place is BLOB else [('Content-Length', '4')])
    before = time.monotonic()
    is_refused(pull('--timeout', '0.3'), server.host, 'did not answer in time')
    assert time.monotonic() - before < 15


def test_39_a_token_server_that_hangs(server: Scripted, pull: Pull) -> None:
    want_tokens(server)
    server.routes[TOKEN] = hanging
    is_refused(pull('--timeout', '0.3'), 'did not answer in time')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('place', ['GET /v2/', TAG, CONFIG, BLOB, TOKEN])
def test_55_a_signal_ends_the_wait_for_a_silent_server(place: str, number: signal.Signals, server: Scripted,
                                                       occystrap: CommandLine) -> None:
    if place is TOKEN:
        want_tokens(server)
    server.routes[place] = hanging
    method, _, path = place.partition(' ')
    process = occystrap.start('process', f'registry://{server.host}/app:v1', 'dir://out', '--timeout', '50')
    begun = time.monotonic()
    while not server.received(method, path):
        assert time.monotonic() - begun < 30 and process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    before = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 128 + number and time.monotonic() - before < 2
    assert left_in(occystrap) == []


@pytest.mark.parametrize('status', ['429', '503'])
def test_55_a_signal_ends_the_wait_for_another_attempt(status: str, server: Scripted, occystrap: CommandLine) -> None:
    server.routes[BLOB] = Answer(int(status), headers=[('Retry-After', '50')])
    process = occystrap.start('process', f'registry://{server.host}/app:v1', 'dir://out')
    begun = time.monotonic()
    while not server.received('GET', BLOB[4:]):
        assert time.monotonic() - begun < 30 and process.poll() is None
        time.sleep(0.02)
    time.sleep(0.1)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130 and time.monotonic() - before < 2
    assert left_in(occystrap) == []


def hanging(request: Request) -> Answer:
    time.sleep(25)
    return Answer(500)
