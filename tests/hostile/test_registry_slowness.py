"""Servers that go on for ever, or a byte at a time, or say more than they were asked: each command ends."""
import io
import random
import resource
import signal
import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine, CommandResult
from tests.services.raw_server import LONG, RawServer, again, plain, raw_server
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Scripted

IMAGE = sample_image()
assert IMAGE.manifest
LAYER = f'GET /v2/app/blobs/{IMAGE.manifest.layers[1].digest}'
CONFIG = f'GET /v2/app/blobs/{IMAGE.manifest.config.digest}'
TAG, VERSION, TOKEN, TAGS = 'GET /v2/app/manifests/v1', 'GET /v2/', 'GET /token', 'GET /v2/app/tags/list'
OK, CHUNKED = b'HTTP/1.1 200 OK\r\n', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
HINT = b'HTTP/1.1 103 Early Hints\r\n\r\n'
HEADS = {
    'a flood of 103': again(b'', HINT * 500), 'a 103 now and then': again(b'', HINT, 0.1),
    'a byte at a time': again(OK + b'X: ', b'x', 0.05), 'a header at a time': again(OK, b'X: x\r\n', 0.05),
    'headers without end': again(OK, b'X: y\r\n' * 100), 'a header without end': again(OK + b'X: ', b'y' * 10_000),
    'a status without end': again(b'HTTP/1.1 200 ', b'y' * 10_000)}
BODIES = {
    'a byte at a time': again(OK + b'Content-Length: 100000\r\n\r\n', b' ', 0.05),
    'chunks of a byte': again(CHUNKED, b'1\r\n \r\n', 0.05),
    'until the end of the connection': again(OK + b'Connection: close\r\n\r\n', b' ', 0.05),
    'an extension without end': again(CHUNKED + b'2;', b'x' * 10_000),
    'a slow extension': again(CHUNKED + b'2;', b'x', 0.05),
    'more extensions than chunks': again(CHUNKED, b'1;' + b'x' * 50_000 + b'\r\n \r\n'),
    'trailers without end': again(CHUNKED + b'2\r\n{}\r\n0\r\n', b'X: y\r\n' * 100),
    'slow trailers': again(CHUNKED + b'2\r\n{}\r\n0\r\n', b'X: y\r\n', 0.05)}
SLOW = ('--timeout', '0.3', '--retries', '0')


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A registry with an image at app:v1."""
    with raw_server() as started:
        scripted = Scripted()
        serve(scripted, IMAGE)
        started.serve(dict(scripted.routes))
        started.answers[VERSION] = plain(b'{}')
        started.answers[TAGS] = plain(b'{"tags": ["v1"]}')
        yield started


def want_tokens(server: RawServer) -> None:
    challenge = {'WWW-Authenticate': f'Bearer realm="http://{server.host}/token",service="s"'}
    server.answers |= {name: plain(b'', challenge, '401 Unauthorized') for name in (VERSION, TAG)}


def ends_in_time(server: RawServer, *command: str) -> CommandResult:
    """Run the command; fail unless it ends soon with one line that names the server, or the layer that is damaged."""
    before = time.monotonic()
    done = run_here(command[0], *SLOW, *command[1:])
    assert time.monotonic() - before < 10, f'{time.monotonic() - before}\n{done}'
    line = done.assert_code(1).errors[-1]
    assert line.startswith('occystrap: error: ') and (server.host in line or LAYER.rpartition('/')[2] in line), done
    return done


PLACES = (TAG, CONFIG, LAYER, TOKEN)


@pytest.mark.parametrize(('place', 'head'), sorted({
    *((TAG, head) for head in HEADS), *((place, 'a flood of 103') for place in PLACES),
    *((place, 'a byte at a time') for place in PLACES)}))
def test_a_header_has_a_deadline_and_a_size(place: str, head: str, server: RawServer, tmp_path: Path) -> None:
    if place is TOKEN:
        want_tokens(server)
    server.answers[place] = HEADS[head]
    ends_in_time(server, 'process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out')
    assert [path for path in tmp_path.rglob('*') if path.name != '.occystrap'] == []


@pytest.mark.parametrize(('place', 'body'), sorted({
    *((TAG, body) for body in BODIES), *((LAYER, body) for body in BODIES),
    *((place, 'a byte at a time') for place in PLACES), *((place, 'slow trailers') for place in PLACES)}))
def test_a_body_has_a_least_rate(place: str, body: str, server: RawServer, tmp_path: Path) -> None:
    if place is TOKEN:
        want_tokens(server)
    server.answers[place] = BODIES[body]
    ends_in_time(server, 'process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out')
    assert [path for path in tmp_path.rglob('*') if path.name != '.occystrap'] == []


@pytest.mark.parametrize('slow', [*HEADS.values(), *BODIES.values()], ids=[*HEADS, *BODIES])
def test_the_first_question_of_all_has_both(slow: object, server: RawServer, tmp_path: Path) -> None:
    """What else the server says is good: that its first answer does not end need not be the end."""
    server.answers[VERSION] = slow  # type: ignore[assignment]
    before = time.monotonic()
    run_here('process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out', *SLOW)
    assert time.monotonic() - before < 10


@pytest.mark.parametrize('slow', [HEADS['a byte at a time'], BODIES['a byte at a time']], ids=['head', 'body'])
@pytest.mark.parametrize(('command', 'place'), [
    ('info', TAG), ('check', LAYER), ('search', LAYER)])
def test_every_command_has_both(command: str, place: str, slow: object, server: RawServer) -> None:
    words = [f'registry://{server.host}/app:v1']
    server.answers[place] = slow  # type: ignore[assignment]
    ends_in_time(server, command, *words, *(['*'] if command == 'search' else []))


def test_redirects_and_listings_have_both(server: RawServer) -> None:
    server.answers[TAGS] = plain(b'', {'Location': '/slow'}, '307 Temporary Redirect')
    server.answers['GET /slow'] = BODIES['a byte at a time']
    before = time.monotonic()
    done = run_here('tags', f'registry://{server.host}/app', '--timeout', '0.5')
    assert time.monotonic() - before < 10 and server.host in done.assert_code(1).err, done


@pytest.mark.parametrize('slow', [*HEADS.values(), BODIES['a byte at a time']], ids=[*HEADS, 'body'])
def test_answers_to_uploads_have_both(slow: object, server: RawServer, tmp_path: Path) -> None:
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'a:v1')
    server.answers['POST /v2/new/blobs/uploads/'] = slow  # type: ignore[assignment]
    ends_in_time(server, 'process', f'tar://{tmp_path}/a.tar', f'registry://{server.host}/new:v1')


def test_an_upload_has_a_least_rate(tmp_path: Path) -> None:
    big = write_big(tmp_path / 'big.tar')
    with raw_server(receive_buffer=65536) as server:
        def read_slowly(connection: socket.socket, server: RawServer) -> None:
            until = time.monotonic() + LONG
            while not server.closed.is_set() and time.monotonic() < until:
                connection.recv(32768)
                time.sleep(0.1)
        server.answers[VERSION] = plain(b'{}')
        server.answers['POST /v2/new/blobs/uploads/'] = plain(b'', {'Location': '/up'}, '202 Accepted')
        server.answers |= {'PATCH /up': read_slowly, 'PUT /up': read_slowly}
        done = ends_in_time(server, 'process', f'tar://{big}', f'registry://{server.host}/new:v1', '--timeout', '4',
                            '--least-rate', '50000000')
        assert 'receives less than' in done.err


def write_big(path: Path) -> Path:
    """Write an image with 8 MiB that do not compress."""
    noise, layer = random.Random(1).randbytes(8 << 20), io.BytesIO()
    with tarfile.open(fileobj=layer, mode='w') as tar:
        member = tarfile.TarInfo('noise')
        member.size = len(noise)
        tar.addfile(member, io.BytesIO(noise))
    return write_docker_archive(path, sample_config([layer.getvalue()]), [layer.getvalue()], 'big:v1')


def test_a_flood_of_interim_answers_is_cut(server: RawServer) -> None:
    server.answers[TAG] = HEADS['a flood of 103']
    before = time.monotonic()
    done = run_here('info', f'registry://{server.host}/app:v1', '--timeout', '60', '--retries', '0').assert_code(1)
    assert 'header of more than' in done.err and time.monotonic() - before < 20


@pytest.mark.parametrize('body', ['trailers without end', 'more extensions than chunks'])
def test_a_flood_of_framing_is_cut(body: str, server: RawServer) -> None:
    server.answers[TAG] = BODIES[body]
    before = time.monotonic()
    done = run_here('info', f'registry://{server.host}/app:v1', '--timeout', '60', '--retries', '0').assert_code(1)
    is_cut = 'mostly framing' in done.err or 'more than 100 trailers' in done.err  # by newer versions of Python
    assert is_cut and time.monotonic() - before < 20


def test_a_slow_server_is_tried_once_more_only(server: RawServer) -> None:
    server.answers[TAG] = BODIES['a byte at a time']
    run_here('info', f'registry://{server.host}/app:v1', '--timeout', '0.3').assert_code(1)
    assert len(server.received(TAG)) == 2


def test_a_rate_of_nothing_waits_for_every_byte(server: RawServer, tmp_path: Path) -> None:
    answer = server.answers[CONFIG]
    assert isinstance(answer, bytes)
    head, _, body = answer.partition(b'\r\n\r\n')

    def send(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(head + b'\r\n\r\n')
        for place in range(0, len(body), 40):
            connection.sendall(body[place:place + 40])
            time.sleep(0.1)
    server.answers[CONFIG] = send
    words = ('process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out', *SLOW)
    assert '--least-rate' in run_here(*words).assert_code(1).err
    run_here(*words, '--least-rate', '0').assert_success()


def test_hints_before_an_answer_are_passed_over(server: RawServer, tmp_path: Path) -> None:
    server.answers = {name: HINT * 3 + answer for name, answer in server.answers.items() if isinstance(answer, bytes)}
    run_here('process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out', *SLOW).assert_success()
    assert server.connections < len(server.requests)


NO = plain(b'', status='404 Not Found')
EMPTY_CHUNKED = CHUNKED + b'2\r\n{}\r\n0\r\n\r\n'


@pytest.mark.parametrize('is_plain', [True, False], ids=['directly', 'as through a proxy'])
@pytest.mark.parametrize('answer', [
    plain(b'{}') + NO, plain(b'{}') + NO[:20], plain(b'{}') + b'JUNK', EMPTY_CHUNKED + NO, EMPTY_CHUNKED + NO[:20],
    EMPTY_CHUNKED + b'\r\n', EMPTY_CHUNKED[:-2] + b'X: y\r\n\r\n' + NO, HINT + plain(b'{}') + NO, plain(b'{}') + HINT,
    EMPTY_CHUNKED + HINT], ids=range(10))
def test_more_than_one_answer_is_the_end_of_a_connection(
        answer: bytes, is_plain: bool, server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_registry.transport.connection_pool._is_plain', lambda proxy, http2: is_plain)
    server.answers[VERSION] = answer
    words = ('process', f'registry://{server.host}/app:v1', f'dir://{tmp_path}/out', '--timeout', '5')
    run_here(*words, *(['--retries', '0'] if is_plain else [])).assert_success()


@pytest.mark.parametrize('status', ['204 No Content', '304 Not Modified', '200 OK'])
def test_a_body_where_none_may_be_is_no_answer(status: str, server: RawServer, tmp_path: Path) -> None:
    """What follows the header of these is the start of what the next request would be answered."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'a:v1')
    server.answers |= {f'HEAD {name.partition(" ")[2]}': plain(b'HTTP/1.1 404 N\r\n\r\n', status=status) for name in
                       (LAYER, CONFIG)}
    before = len(server.requests)
    run_here('info', f'registry://{server.host}/app:v1', '--timeout', '5', '--retries', '0').assert_success()
    assert len(server.requests) > before


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('command', ['info', 'process'])
@pytest.mark.parametrize('answer', [
    HEADS['a 103 now and then'], HEADS['a byte at a time'], BODIES['a byte at a time'], BODIES['slow trailers'],
    again(OK + b'Content-Length: 9999999999\r\n\r\n', b' ' * 65536)], ids=range(5))
def test_a_signal_is_obeyed_meanwhile(answer: object, command: str, number: signal.Signals, server: RawServer,
                                      occystrap: CommandLine) -> None:
    place = LAYER if command == 'process' else TAG
    server.answers[place] = answer  # type: ignore[assignment]
    to = ['dir://out'] if command == 'process' else []
    process = occystrap.start(command, f'registry://{server.host}/app:v1', *to)
    begun = time.monotonic()
    while not server.received(place):
        assert time.monotonic() - begun < 30 and process.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    if process.poll() is None:  # one that was sent a flood may be over
        before = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == 128 + number and time.monotonic() - before < 2


def test_memory_is_bounded(server: RawServer, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for answer in (*HEADS.values(), *BODIES.values()):
        server.answers[TAG] = answer
        run_here('info', f'registry://{server.host}/app:v1', *SLOW).assert_code(1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
