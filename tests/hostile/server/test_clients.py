"""What clients may send to a registry, byte by byte: it answers or hangs up, keeps nothing of it, and serves others.

HOSTILE, rows 59 to 66.
"""
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from occystrap_core.oci import Digest, media_types
from occystrap_registry.server import callers, exchange, paced_body, upload_files
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from occystrap_registry.server.opened_storage import open_storage
from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.directories import small_disk
from tests.services.served import Served, served
from tests.unit.registry.images import HTTP

DATA = random.Random(1).randbytes(300_000)
DIGEST = Digest.of(DATA)
MANY = 120
ESTABLISHED = b'\1'
"""A connection that both sides hold open (tcp(7), TCP_INFO)."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / 'storage'


@pytest.fixture
def server(root: Path) -> Iterator[RegistryServer]:
    """A registry with one blob in `app`, which everybody has to get whatever happens."""
    with open_storage(root) as storage, RegistryServer(storage, settings=ServerSettings(strangers=50)) as running:
        HTTP.post(f'http://{running.host}/v2/app/blobs/uploads/', params={'digest': DIGEST}, content=DATA)
        before = kept(root)
        yield running
        assert HTTP.get(f'http://{running.host}/v2/app/blobs/{DIGEST}').content == DATA
        assert before <= kept(root) and not list((root / 'temporary').iterdir())


def kept(root: Path) -> set[Path]:
    """Return all files of a storage."""
    return {path for path in root.rglob('*') if path.is_file()}


@contextmanager
def connected(server: RegistryServer | Served) -> Iterator[socket.socket]:
    host, _, port = server.host.partition(':')
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side hangs up."""
    received = b''
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def response_to(server: RegistryServer, request: bytes) -> bytes:
    """Send bytes as they are; return all that is answered until the server hangs up, which it must."""
    with connected(server) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(connection)


def post(framing: bytes, body: bytes = b'') -> bytes:
    return b'POST /v2/app/blobs/uploads/?digest=' + DIGEST.encode() + b' HTTP/1.1\r\nHost: x\r\n' + framing + (
        b'\r\n\r\n') + body


CHUNKED = b'Transfer-Encoding: chunked'


@pytest.mark.parametrize('request_bytes', [
    post(b'Content-Length: 5\r\nTransfer-Encoding: chunked', b'0\r\n\r\n'),
    post(b'Transfer-Encoding: chunked\r\nContent-Length: 5', b'0\r\n\r\n'),
    post(b'Content-Length: 1\r\nContent-Length: 2', b'xx'), post(b'Content-Length: 1, 2', b'xx'),
    post(b'Content-Length: -1'), post(b'Content-Length: +1', b'x'), post(b'Content-Length: 0x1', b'x'),
    post(b'Content-Length: ' + b'9' * 30_000), post(b'Content-Length: 1 2', b'x'), post(b'Content-Length:'),
    post(b'Transfer-Encoding: gzip, chunked', b'0\r\n\r\n'), post(b'Transfer-Encoding: identity', b'x'),
    post(CHUNKED, b'ZZ\r\n'), post(CHUNKED, b'-1\r\n'), post(CHUNKED, b'0x1\r\nx\r\n'), post(CHUNKED, b'\r\n'),
    post(CHUNKED, b'F' * 20 + b'0\r\n'), post(CHUNKED, b'1\r\nxyz\r\n0\r\n\r\n'),
    post(CHUNKED, b'1;' + b'x' * 200_000 + b'\r\n'), post(CHUNKED, b'1;a="' + b'\\"' * 100_000),
    post(CHUNKED, b'0\r\n' + b'X: y\r\n' * 40_000 + b'\r\n'),
    b'GET /v2/ HTTP/1.1\r\nHost: x\r\nX: ' + b'y' * 200_000 + b'\r\n\r\n', b'GET ' + b'/' * 200_000,
    b'GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n',
    b'GET /v2/ HTTP/1.1\r\n\r\n', b'GET /v2/\x00 HTTP/1.1\r\nHost: x\r\n\r\n', b'GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n',
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(200), bytes(70_000)],
    ids=lambda request: repr(request[-40:]))
def test_malformed_requests_are_400_and_the_end(request_bytes: bytes, server: RegistryServer) -> None:
    answer = response_to(server, request_bytes)
    assert answer[:13] in (b'HTTP/1.1 400 ', b'HTTP/1.1 431 ', b'HTTP/1.1 501 ', b'')
    assert answer.count(b'HTTP/1.1 ') <= 1


def test_bytes_after_a_malformed_request_are_not_a_request(server: RegistryServer) -> None:
    """A proxy that takes the length for the end, and a server that takes the chunks, see other requests."""
    hidden = f'DELETE /v2/app/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n\r\n'.encode()
    for framing in (b'Content-Length: %d\r\nTransfer-Encoding: chunked' % (5 + len(hidden)),
                    b'Transfer-Encoding: chunked\r\nContent-Length: %d' % (5 + len(hidden))):
        assert response_to(server, post(framing, b'0\r\n\r\n' + hidden)).count(b'HTTP/1.1 ') == 1


NAMES = ['..', '../..', '%2e%2e', '%2E%2e/x', 'a/..', 'a/%2e%2e/b', 'UPPER', 'a//b', '.a', '-a', 'a/', '_layout',
         'a/_tags', 'a%00b', 'a%2fb%2f..', 'a' * 256, '%ff', 'é', 'a b', 'a\\b', 'a;b', 'a%0d%0aX:y']


@pytest.mark.parametrize('name', NAMES)
def test_malformed_names_create_nothing(name: str, server: RegistryServer, root: Path) -> None:
    before = kept(root)
    for line in (f'POST /v2/{name}/blobs/uploads/', f'POST /v2/{name}/blobs/uploads/?digest={DIGEST}',
                 f'PUT /v2/{name}/manifests/v1', f'PUT /v2/app/manifests/{name}', f'GET /v2/{name}/tags/list',
                 f'POST /v2/app/blobs/uploads/?mount={DIGEST}&from={name}', f'DELETE /v2/{name}/manifests/v1'):
        if name in ('UPPER', 'a' * 256, 'a') and 'manifests/' + name in line:
            continue
        head = f'{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n'
        answer = response_to(server, head.encode() + b'{}')
        assert answer[9:10] == b'4', (line, answer)
    assert kept(root) == before and sorted(os.listdir(root / 'repositories')) == ['app']


@pytest.mark.parametrize('upload', ['0' * 32, 'x', '..', '%2e%2e%2f' * 3 + 'lock', '0' * 5000, '../lock', '%00', ''])
def test_forged_uploads_are_unknown(upload: str, server: RegistryServer, root: Path) -> None:
    before = kept(root)
    for method in ('GET', 'PATCH', 'PUT', 'DELETE'):
        answer = response_to(server, f'{method} /v2/app/blobs/uploads/{upload}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\n'
                             'Content-Length: 1\r\nConnection: close\r\n\r\nx'.encode())
        assert answer[9:10] == b'4', (method, answer)
    assert kept(root) == before


@pytest.mark.parametrize(('body', 'status'), [
    (b'', 400), (b'{}', 400), (b'no JSON', 400), (b'\xff\xfe', 400), (b'[' * 100_000, 400), (b'{"a":' * 50_000, 400),
    (b'{"schemaVersion":2,"config":{},"layers":null}', 400), (b'{"schemaVersion":1}', 400), (b'9' * 10_000, 400),
    (json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'layers': [], 'config': {
        'mediaType': 'x', 'digest': Digest.of(b'none'), 'size': 1}}).encode(), 400), (bytes((4 << 20) + 1), 413)])
def test_invalid_manifests_are_refused_in_json(body: bytes, status: int, server: RegistryServer) -> None:
    answer = HTTP.put(f'http://{server.host}/v2/app/manifests/v1', content=body,
                      headers={'Content-Type': media_types.OCI_MANIFEST})
    assert answer.status_code == status and answer.json()['errors'][0]['code'].startswith('MANIFEST_')


def test_a_full_disk_is_507_and_nothing_is_left(tmp_path: Path) -> None:
    with require_service(lambda: small_disk(tmp_path / 'disk', '2m')) as disk, open_storage(disk / 's') as storage, (
            RegistryServer(storage)) as server:
        place = f'http://{server.host}/v2/app'
        large = bytes(4 << 20)
        answer = HTTP.post(f'{place}/blobs/uploads/', params={'digest': Digest.of(large)}, content=large)
        assert (answer.status_code, answer.json()['errors'][0]['code']) == (507, 'BLOB_UPLOAD_INVALID')
        assert not list((disk / 's/temporary').iterdir())
        small = bytes(1000)
        HTTP.post(f'{place}/blobs/uploads/', params={'digest': Digest.of(small)}, content=small).raise_for_status()
        free = os.statvfs(disk)
        (disk / 'filler').write_bytes(bytes(free.f_bavail * free.f_frsize))
        raw = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': []}).encode()
        answer = HTTP.put(f'{place}/manifests/v1', content=raw, headers={'Content-Type': media_types.OCI_INDEX})
        assert answer.status_code == 507 and answer.json()['errors'][0]['message']
        assert not list((disk / 's/temporary').iterdir()) and HTTP.head(f'{place}/manifests/v1').status_code == 404
        (disk / 'filler').unlink()
        answer = HTTP.put(f'{place}/manifests/v1', content=raw, headers={'Content-Type': media_types.OCI_INDEX})
        assert answer.status_code == 201


def test_one_blob_by_many_at_once(server: RegistryServer, root: Path) -> None:
    data = os.urandom(500_000)
    digest = Digest.of(data)

    def push(number: int) -> int:
        return HTTP.post(f'http://{server.host}/v2/r{number % 3}/blobs/uploads/', params={'digest': digest},
                         content=data).status_code
    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(push, range(24))) == {201}
    places = [root, *(root / f'repositories/r{number}/_layout' for number in range(3))]
    assert len({(place / 'blobs/sha256' / digest.hex).stat().st_ino for place in places}) == 1


def test_a_manifest_whose_blob_is_on_its_way(server: RegistryServer) -> None:
    data = os.urandom(1000)
    raw = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'layers': [], 'config': {
        'mediaType': media_types.OCI_CONFIG, 'digest': Digest.of(data), 'size': len(data)}}).encode()
    target = f'http://{server.host}/v2/app/manifests/v1'
    with connected(server) as upload:
        upload.sendall(f'POST /v2/app/blobs/uploads/?digest={Digest.of(data)} HTTP/1.1\r\nHost: x\r\n'
                       'Content-Length: 1000\r\n\r\n'.encode() + data[:500])
        answer = HTTP.put(target, content=raw, headers={'Content-Type': media_types.OCI_MANIFEST})
        assert (answer.status_code, answer.json()['errors'][0]['code']) == (400, 'MANIFEST_BLOB_UNKNOWN')
        upload.sendall(data[500:])
        assert b' 201 ' in upload.recv(4096)
    assert HTTP.put(target, content=raw, headers={'Content-Type': media_types.OCI_MANIFEST}).status_code == 201


def test_uploads_that_break_off_leave_nothing(server: RegistryServer, root: Path) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(server)).sendall(post(b'Content-Length: 1000000', bytes(1000)))
        wait_for(lambda: len(list((root / 'temporary').iterdir())) == 20)
    wait_for(lambda: not list((root / 'temporary').iterdir()))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so; the test's own timeout is for when it never is."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_abandoned_uploads_expire(server: RegistryServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/').headers['location']
    assert HTTP.patch(f'http://{server.host}{location}', content=b'x').status_code == 202
    monkeypatch.setattr(upload_files, '_LIFETIME', 0.0)
    last = HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/').headers['location']
    assert HTTP.patch(f'http://{server.host}{location}', content=b'x').status_code == 404
    HTTP.delete(f'http://{server.host}{last}')


def test_abandoned_uploads_expire_though_nobody_comes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_files, '_LIFETIME', 0.2)
    with open_storage(root) as storage, RegistryServer(storage) as server:
        for _ in range(2):
            HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/').raise_for_status()
        assert server.uploads and server.uploads.is_under_way('app') and kept(root / 'temporary')
        wait_for(lambda: not kept(root / 'temporary'))
        assert not server.uploads.is_under_way('app')


@pytest.mark.parametrize('target', ['/blobs/uploads/?digest=' + DIGEST, '/manifests/v1', 'upload'])
def test_a_body_that_does_not_come_has_a_deadline(target: str, server: RegistryServer, root: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_body, '_PATIENCE', 0.3)
    method, path = ('POST' if 'digest' in target else 'PUT'), f'/v2/app{target}'
    if target == 'upload':
        method, path = 'PATCH', HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/').headers['location']
    answer = response_to(server, f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx'.encode())
    assert answer.startswith(b'HTTP/1.1 408 ') and b'"errors"' in answer


def test_a_body_that_comes_byte_by_byte_has_a_deadline(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_body, '_PATIENCE', 0.5)
    with connected(server) as connection:
        connection.sendall(post(b'Content-Length: 100000'))
        connection.settimeout(0.05)
        received, count = b'', 0
        while not received:
            count += 1
            assert count < 1000
            try:
                connection.sendall(b'x')
                received = connection.recv(4096)
            except TimeoutError:
                continue
    assert received.startswith(b'HTTP/1.1 408 ')


def test_who_does_not_read_is_hung_up_on(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    large = bytes(30 << 20)
    HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/', params={'digest': Digest.of(large)}, content=large)
    monkeypatch.setattr(exchange, '_SENDING', 0.3)
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f'GET /v2/app/blobs/{Digest.of(large)} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        wait_for(lambda: connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != ESTABLISHED)
        assert len(read_all(connection)) < len(large)


def test_silent_connections_have_a_deadline_and_keep_nobody_out(server: RegistryServer, monkeypatch: pytest.MonkeyPatch,
                                                                ) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(server)) for _ in range(MANY)]
        for number, connection in enumerate(silent):
            connection.sendall(b'GET /v2/ HTTP/1.1\r\nHo'[:number % 20])
        assert HTTP.get(f'http://{server.host}/v2/app/blobs/{DIGEST}').status_code == 200
    monkeypatch.setattr(callers, '_HEADER', 0.2)
    with connected(server) as connection:
        connection.sendall(b'GET /v2/ HTTP/1.1\r\nHo')
        assert read_all(connection) == b''


def test_who_reads_is_not_idle(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes, also if the request came while the last one was ending."""
    monkeypatch.setattr(callers, '_IDLE', 0.4)
    monkeypatch.setattr(callers, '_UNREAD', 0.0)
    large = os.urandom(30 << 20)
    HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/', params={'digest': Digest.of(large)}, content=large)
    requests = ''.join(f'GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n'
                       for digest in (DIGEST, Digest.of(large)))
    with connected(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(requests.encode())
        reader = connection.makefile('rb')
        for data in (DATA, large):
            while reader.readline().strip():
                pass
            received = bytearray()
            while len(received) < len(data):
                if data is large and not received:
                    time.sleep(1)
                piece = reader.read(1 << 20 if data is large else len(data))
                assert piece, f'cut after {len(received)} bytes'
                received += piece
            assert received == data


def test_no_body_is_held_in_memory(occystrap: CommandLine, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 40
    digest = Digest.of(data)
    with served(occystrap, '--storage', tmp_path / 's') as registry:
        place = f'http://{registry.host}/v2/app/blobs'
        HTTP.get(f'{place}/{digest}')
        before = peak(registry.process.pid)
        HTTP.post(f'{place}/uploads/', params={'digest': digest}, content=data).raise_for_status()
        assert HTTP.get(f'{place}/{digest}').content == data
        assert peak(registry.process.pid) - before < 30_000, 'KiB'
        with ExitStack() as stack:
            waiting = [stack.enter_context(connected(registry)) for _ in range(60)]
            for connection in waiting:
                connection.sendall(f'GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
            for connection in waiting:
                assert len(connection.makefile('rb').read(200_000)) == 200_000
            assert peak(registry.process.pid) - before < 150_000, 'KiB, for sixty who read slowly'


def peak(process: int) -> int:
    """Return the largest resident size of a process so far, in KiB."""
    lines = Path(f'/proc/{process}/status').read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith('VmHWM')))
