"""The registry that runs for one push or demo: all users of the machine reach its port, and get nothing there."""
import base64
import hashlib
import http.client
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.oci import Digest
from occystrap_docker.push.storage import Blob, PushStorage
from occystrap_registry.commands import demo
from occystrap_registry.embedded import RegistryServer
from occystrap_registry.server import callers, upload_files as uploads
from tests.hostile.in_process import run_here

SECRET = 'occystrap/' + '5' * 32
MINE, OTHERS = f'/v2/{SECRET}', '/v2/somebody/else'
EMPTY = 'sha256:' + hashlib.sha256(b'').hexdigest()
HALF = b'GET /v2/ HTTP/1.1\r\nHost: x\r\nX: '


@pytest.fixture
def storage(tmp_path: Path) -> PushStorage:
    return PushStorage(tmp_path, SECRET, lambda blob: None, lambda digest: None, largest=1 << 20)


@pytest.fixture
def server(storage: PushStorage) -> Iterator[RegistryServer]:
    """The registry as a daemon finds it at a push."""
    with RegistryServer(storage) as started:
        yield started


def test_nothing_is_answered_before_the_destination_was_asked(storage: PushStorage) -> None:
    with storage.at_hand() as is_at_hand:
        assert not is_at_hand


def ask(host: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request(method, path, body, {name.replace('_', '-'): text for name, text in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): text for name, text in answer.getheaders()}


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob('*') if path.is_file()]


def half_open(host: str, count: int, stack: ExitStack, data: bytes = HALF) -> list[socket.socket]:
    place = host.partition(':')
    opened = [stack.enter_context(socket.create_connection((place[0], int(place[2])))) for _ in range(count)]
    for each in opened:
        each.sendall(data)
    return opened


@pytest.mark.parametrize(('method', 'path'), [
    ('POST', f'{OTHERS}/blobs/uploads/'), ('POST', f'{OTHERS}/blobs/uploads/?digest={EMPTY}'),
    ('PATCH', f'{OTHERS}/blobs/uploads/{"0" * 32}'), ('PUT', f'{OTHERS}/manifests/v1'), ('GET', '/v2/_catalog'),
    ('POST', f'{OTHERS}/blobs/uploads/?mount={EMPTY}&from={SECRET}'), ('GET', f'{OTHERS}/blobs/{EMPTY}'),
    ('POST', f'{MINE[:-1]}/blobs/uploads/'), ('POST', f'{MINE}5/blobs/uploads/'), ('GET', '/')])
def test_strangers_get_and_bring_nothing(method: str, path: str, server: RegistryServer, tmp_path: Path) -> None:
    status, headers = ask(server.host, method, path, b'x' * 1000)
    assert status == 404 and headers['connection'] == 'close' and files(tmp_path) == []


def test_the_body_of_a_stranger_is_not_taken(server: RegistryServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        head = f'PATCH {OTHERS}/blobs/uploads/{"0" * 32} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n'
        stranger, = half_open(server.host, 1, stack, head.encode())
        stranger.settimeout(5)
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                stranger.sendall(bytes(65536))
    assert files(tmp_path) == []


def test_half_open_connections_do_not_block_others(server: RegistryServer) -> None:
    host, _, port = server.host.partition(':')
    daemon = http.client.HTTPConnection(host, int(port), timeout=5)
    with ExitStack() as stack:
        daemon.request('POST', f'{MINE}/blobs/uploads/')
        assert daemon.getresponse().read() == b''
        half_open(server.host, 300, stack)
        assert ask(server.host, 'GET', '/v2/')[0] == 200
        sock = daemon.sock
        daemon.request('GET', f'{MINE}/tags/list')
        assert daemon.getresponse().status == 404 and daemon.sock is sock, 'who was let in keeps the connection'


def test_many_connections_at_once_have_time_for_their_requests(server: RegistryServer) -> None:
    """As containerd opens them: one for each layer of an image, before it sends anything."""
    with ExitStack() as stack:
        for each in (opened := half_open(server.host, 200, stack)):
            each.settimeout(5)
        for each in opened:
            each.sendall(b'x\r\n\r\n')
        assert all(each.recv(12) == b'HTTP/1.1 200' for each in opened)


def test_silent_connections_make_room_after_a_moment(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, '_MOMENT', 0.0)
    with ExitStack() as stack:
        oldest, *_ = half_open(server.host, 100, stack)
        oldest.settimeout(5)
        with suppress(ConnectionResetError):
            assert oldest.recv(1) == b''


BODILESS = f'PATCH {OTHERS}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'.encode()


@pytest.mark.parametrize('data', [HALF, b'', b'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n', BODILESS])
def test_who_says_nothing_is_hung_up_on(data: bytes, storage: PushStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, '_HEADER', 0.3)
    with RegistryServer(storage) as server, ExitStack() as stack:
        stranger, = half_open(server.host, 1, stack, data)
        stranger.settimeout(5)
        begun, received = time.monotonic(), b'x'
        while received and time.monotonic() - begun < 5:
            try:
                received = stranger.recv(65536)
            except ConnectionResetError:
                break
        assert time.monotonic() - begun < 3


def test_abandoned_uploads_cost_no_descriptors_and_end(server: RegistryServer, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, '_MOST', 40)
    before = len(os.listdir('/proc/self/fd'))
    status = [ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[0] for _ in range(42)]
    assert status == [202] * 40 + [429] * 2 and len(os.listdir('/proc/self/fd')) < before + 10
    monkeypatch.setattr(uploads, '_IN_A_HURRY', 0.0)
    assert ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[0] == 202 and len(files(tmp_path)) == 1


def test_an_abandoned_upload_is_removed(server: RegistryServer, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    location = ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[1]['location']
    assert ask(server.host, 'PATCH', location, b'begun')[0] == 202
    monkeypatch.setattr(uploads, '_LIFETIME', 0.0)
    assert ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[0] == 202
    assert ask(server.host, 'PATCH', location, b'more')[0] == 404 and len(files(tmp_path)) == 1


def test_a_blob_has_a_largest_size(server: RegistryServer, tmp_path: Path) -> None:
    location = ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[1]['location']
    assert ask(server.host, 'PATCH', location, bytes(1 << 20))[0] == 202
    assert ask(server.host, 'PATCH', location, b'x')[0] == 413 and files(tmp_path) == []


def test_consumed_blobs_are_not_mounted(server: RegistryServer, storage: PushStorage) -> None:
    digest = 'sha256:' + hashlib.sha256(b'x').hexdigest()
    assert ask(server.host, 'POST', f'{MINE}/blobs/uploads/?digest={digest}', b'x')[0] == 201
    storage.take(Blob(Digest(digest), storage.blob(Digest(digest))))
    for mount in (f'mount={digest}', f'mount={digest}&from={SECRET}'):
        assert ask(server.host, 'POST', f'{MINE}/blobs/uploads/?{mount}')[0] == 202
    assert ask(server.host, 'HEAD', f'{MINE}/blobs/{digest}')[0] == 200


@pytest.mark.parametrize(('name', 'text'), [('Content_Range', '9' * 5000 + '-1'), ('Content_Range', '0-' + '9' * 5000)])
def test_numbers_without_end_are_refused(name: str, text: str, server: RegistryServer) -> None:
    location = ask(server.host, 'POST', f'{MINE}/blobs/uploads/')[1]['location']
    assert ask(server.host, 'PATCH', location, b'x', **{name: text})[0] == 416


def login(user: str, password: str) -> str:
    return 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode()


@pytest.mark.parametrize('path', ['/v2/', '/v2', '/v2/app/blobs/uploads/', '/v2/_catalog'])
def test_every_request_needs_a_password(path: str, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'registry', password='right') as server:
        for given in ({}, {'Authorization': login('occystrap', 'wrong')}, {'Authorization': login('occystrap', '')},
                      {'Authorization': login('', 'right')}, {'Authorization': 'Basic'}):
            status, headers = ask(server.host, 'GET', path, **given)
            assert status == 401 and headers['www-authenticate'].startswith('Basic ')
        assert ask(server.host, 'POST', '/v2/app/blobs/uploads/', b'x')[0] == 401
        assert ask(server.host, 'GET', path, Authorization=login('occystrap', 'right'))[0] in (200, 404)
    assert files(tmp_path) == []


def test_the_registry_of_the_demo_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = []

    def run(words: Sequence[str], expected: int) -> None:
        for source in (word for word in words if word.startswith('registry://')):
            host = source.removeprefix('registry://').partition('/')[0]
            answers.extend([ask(host, 'GET', '/v2/')[0], ask(host, 'POST', '/v2/x/blobs/uploads/')[0]])
            raise KeyboardInterrupt
    monkeypatch.setattr(demo, '_run', run)
    monkeypatch.setenv('OCCYSTRAP_USERNAME', '')
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', '')
    run_here('demo', '--folder', tmp_path / 'demo')
    assert answers == [401, 401]
