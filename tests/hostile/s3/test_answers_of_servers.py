"""What servers answer and how they fall silent: one line says what is wrong, and nothing is left behind."""
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from occystrap_s3.bucket.bucket import StoredObject
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine
from tests.services.localstack import CREDENTIALS
from tests.services.measured import run_measured
from tests.unit.registry.scripted import Request, Answer
from tests.unit.s3.answers import EMPTY_LIST, S3Script, refusal

QUICK = ('--retries', '1', '--timeout', '2', '--longest-wait', '0.05')


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Script]:
    """A server that says what a test wants, and the environment that leads there."""
    with S3Script() as server:
        for name, value in {**CREDENTIALS, 'AWS_ENDPOINT_URL': f'http://{server.host}'}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.mark.parametrize(('status', 'code', 'words'), [
    (404, 'NoSuchBucket', 'there is no such bucket'),
    (403, 'AccessDenied', 'access denied'),
    (403, 'InvalidAccessKeyId', 'the access key is unknown'),
    (403, 'SignatureDoesNotMatch', 'the secret key is wrong'),
    (400, 'ExpiredToken', 'the session has expired'),
    (403, 'RequestTimeTooSkewed', 'set the clock of this machine'),
    (400, 'AuthorizationHeaderMalformed', 'in another region'),
    (503, 'SlowDown', 'asks for fewer requests'),
    (500, 'InternalError', 'try again later'),
    (400, 'BadDigest', 'sha256 had changed on the way'),
    (400, 'OddCode', 'OddCode'),
])
def test_each_refusal_is_one_line(status: int, code: str, words: str, script: S3Script) -> None:
    script.always(refusal(status, code))
    line, = run_here('info', 's3://bucket/app:v1', *QUICK).assert_code(1).errors
    assert words in line and 's3://bucket' in line
    assert len(script.requests) <= 3


def test_without_credentials(script: S3Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.delenv(name)
    line, = run_here('info', 's3://bucket/app:v1').assert_code(1).errors
    assert 'there are no credentials' in line and 'AWS_PROFILE' in line
    line, = run_here('info', 's3://bucket/app:v1?profile=nobody').assert_code(2).errors
    assert 'nobody' in line


def nothing(request: Request) -> Answer:
    return EMPTY_LIST if 'list-type' in request.target else refusal(404, 'NoSuchKey')


def test_a_busy_server_is_asked_again(script: S3Script) -> None:
    script.always(refusal(503, 'SlowDown'), refusal(500, 'InternalError'), nothing)
    line, = run_here('info', 's3://bucket/p', *QUICK[:1], '3', *QUICK[2:]).assert_code(1).errors
    assert 'holds no image' in line


@pytest.mark.parametrize('reply', [Answer(silent=True), Answer(200, b'<List', cut=3)], ids=['silent', 'cut'])
def test_silence_and_cuts(reply: Answer, script: S3Script) -> None:
    script.always(reply)
    line, = run_here('info', 's3://bucket/app:v1', *QUICK).assert_code(1).errors
    assert 'try again later' in line


def test_an_interrupt_ends_a_run_that_waits(script: S3Script, occystrap: CommandLine) -> None:
    script.always(Answer(silent=True))
    process = occystrap.start('info', 's3://bucket/app:v1')
    while not script.requests:
        time.sleep(0.01)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert time.monotonic() - started < 20


def test_no_secret_is_said_or_kept(script: S3Script, monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(request: Request) -> Answer:
        return refusal(400, 'Odd', request.headers.get('authorization', ''))
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'canary-secret')
    monkeypatch.setenv('AWS_SESSION_TOKEN', 'canary-token')
    script.always(echo)
    done = run_here('--debug', 'info', 's3://bucket/app:v1').assert_code(1)
    assert 'canary' not in done.err + done.out and 'Signature=…' in done.err
    done = run_here('info', 's3://me:canary@bucket/app:v1').assert_code(2)
    assert 'canary' not in done.err
    done = run_here('info', 's3://bucket/app:v1?endpoint=http://me:canary@host').assert_code(2)
    assert 'canary' not in done.err


def listing(*keys: str, more: str = '') -> Answer:
    found = ''.join(f'<Contents><Key>{key}</Key><Size>1</Size></Contents>' for key in keys)
    return Answer(200, f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{found}{more}'
                       '</ListBucketResult>'.encode(), [('Content-Type', 'application/xml')])


@pytest.mark.parametrize('following', ['<NextContinuationToken>same</NextContinuationToken>', ''], ids=['same', 'none'])
def test_an_endless_list_has_an_end(following: str, script: S3Script) -> None:
    truncated = listing('p/images/names/a.json', more=f'<IsTruncated>true</IsTruncated>{following}')
    script.always(lambda request: truncated if 'list-type' in request.target else refusal(404, 'NoSuchKey'))
    line, = run_here('verify', 's3://bucket/p', *QUICK).assert_code(1).errors
    assert 'sends an endless list' in line and len(script.requests) < 8


def test_objects_that_were_not_requested_are_not_listed(script: S3Script) -> None:
    foreign = listing('images/names/a.json', 'other/images/names/a.json', 'p/images/names/../c.json')
    script.always(lambda request: foreign if 'list-type' in request.target else refusal(404, 'NoSuchKey'))
    run_here('verify', 's3://bucket/p', *QUICK).assert_code(2)
    assert not [each.target for each in script.requests if each.target.endswith('a.json') or 'c.json' in each.target]


def test_an_answer_that_no_server_gives_is_the_servers_fault(script: S3Script) -> None:
    odd = listing('x', more='<KeyCount>many</KeyCount>')
    script.always(lambda request: odd if 'list-type' in request.target else refusal(404, 'NoSuchKey'))
    line, = run_here('verify', 's3://bucket/p', *QUICK).assert_code(1).errors
    assert 'is not valid S3' in line and 'plugin' not in line


@pytest.mark.parametrize('checksum', ['!!!', 'AAAA', 'AAAA-x', 'no base64'])
def test_a_checksum_that_is_none_proves_nothing(checksum: str) -> None:
    assert StoredObject(1, checksum).digest is None


@pytest.mark.parametrize('status', [200, 404])
def test_a_document_without_end_takes_little_memory(status: int, script: S3Script, occystrap: CommandLine,
                                                    program: Callable[..., str]) -> None:
    program('time')
    heads = [('Content-Length', f'{1 << 40}'), ('Connection', 'close')]
    script.always(Answer(status, bytes(1 << 20), heads, endless=True))
    done, peak = run_measured(occystrap, 'info', 's3://bucket/app:v1', *QUICK)
    line, = done.assert_code(1).errors
    assert 'where a document is expected' in line and peak < 300


@pytest.mark.parametrize('piece', [b'X-A: b\r\n', b'HTTP/1.1 100 Continue\r\n\r\n'], ids=['headers', 'continue'])
def test_a_head_without_end_has_a_deadline(piece: bytes, script: S3Script, monkeypatch: pytest.MonkeyPatch) -> None:
    with trickling(b'' if piece.startswith(b'HTTP') else b'HTTP/1.1 200 OK\r\n', piece) as host:
        monkeypatch.setenv('AWS_ENDPOINT_URL', f'http://{host}')
        begun = time.monotonic()
        line, = run_here('info', 's3://bucket/app:v1', '--retries=0', '--timeout=1').assert_code(1).errors
        assert 'did not answer in time' in line and time.monotonic() - begun < 15


@contextmanager
def trickling(first: bytes, piece: bytes) -> Iterator[str]:
    """A server that says something, and then the same piece again and again."""
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(first)
            while not ended.wait(0.2):
                connection.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()
    with socket.create_server(('127.0.0.1', 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f'127.0.0.1:{listening.getsockname()[1]}'
        ended.set()
