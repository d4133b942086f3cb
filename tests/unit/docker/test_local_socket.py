"""Reading over a socket, in every way in which HTTP can answer."""
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from occystrap_docker.connection import local_socket

BODY = bytes(range(256)) * 1000
ANSWERS = {
    'to the end': b'HTTP/1.0 200 OK\r\n\r\n' + BODY,
    'with a length': b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(BODY) + BODY,
    'in chunks': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b''.join(
        b'%x\r\n%s\r\n' % (len(piece), piece) for piece in (BODY[:5], BODY[5:100_000], BODY[100_000:], b'')),
}


@pytest.fixture
def listening(directory: Path) -> Iterator[socket.socket]:
    """A socket that listens, with room for one connection in its queue."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / 'a.sock'))
        listener.listen(0)
        yield listener


def answer(listener: socket.socket, reply: bytes, requests: list[bytes]) -> None:
    with listener.accept()[0] as connection:
        requests.append(connection.recv(65536))
        with suppress(ConnectionError):
            connection.sendall(reply)


@pytest.mark.parametrize('reply', ANSWERS.values(), ids=ANSWERS)
def test_every_way_to_answer(reply: bytes, listening: socket.socket) -> None:
    requests: list[bytes] = []
    thread = threading.Thread(target=answer, args=(listening, reply, requests))
    thread.start()
    found = local_socket.get(listening.getsockname(), '/images/a%20b/get', 5)
    buffer = memoryview(bytearray(len(BODY) + 10))
    count = 0
    while more := found.readinto(buffer[count:]):
        count += more
    found.close()
    thread.join()
    assert found.status == 200 and bytes(buffer[:count]) == BODY
    assert requests[0].startswith(b'GET /images/a%20b/get HTTP/1.0\r\n') and b'Connection: close' in requests[0]


def fill(listener: socket.socket) -> list[socket.socket]:
    """Connect until the queue is full."""
    waiting = []
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        try:
            waiting[-1].connect(listener.getsockname())
        except BlockingIOError:
            return waiting


def test_a_full_queue_is_waited_for(listening: socket.socket) -> None:
    waiting = fill(listening)

    def serve() -> None:
        for _ in waiting[:-1]:
            listening.accept()[0].close()
        answer(listening, ANSWERS['with a length'], [])
    timer = threading.Timer(0.2, serve)
    timer.start()
    found = local_socket.get(listening.getsockname(), '/info', 5)
    assert found.read() == BODY
    found.close()
    timer.join()


def test_but_no_longer_than_the_user_has_patience(listening: socket.socket) -> None:
    waiting = fill(listening)
    with pytest.raises(TimeoutError):
        local_socket.get(listening.getsockname(), '/info', 0.2)
    for each in waiting:
        each.close()


def go_on(listener: socket.socket, start: bytes, data: bytes) -> None:
    with suppress(OSError), listener.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(start)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            connection.sendall(data)
            time.sleep(0.02 if len(data) < 100 else 0)


@pytest.mark.parametrize(('start', 'data'), [
    (b'', b'HTTP/1.1 100 Continue\r\n\r\n'), (b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 500),
    (b'HTTP/1.1 200 OK\r\nX: ', b'x'), (b'HTTP/1.1 200 OK\r\n', b'X: y\r\n'), (b'HTTP/1.1 200 ', b'x' * 10_000),
    (b'HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n', b' '), (b'HTTP/1.0 200 OK\r\n\r\n', b' '),
    (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', b'1;x\r\n \r\n')], ids=range(8))
def test_reading_from_a_socket_has_a_time_limit(start: bytes, data: bytes, listening: socket.socket) -> None:
    thread = threading.Thread(target=go_on, args=(listening, start, data))
    thread.start()
    before = time.monotonic()
    with pytest.raises((TimeoutError, http.client.HTTPException)):
        local_socket.get(listening.getsockname(), '/info', 0.3, least_rate=1024.0).read(1 << 20)
    assert time.monotonic() - before < 5
    thread.join()


def test_a_flood_before_an_answer_is_cut(listening: socket.socket) -> None:
    thread = threading.Thread(target=go_on, args=(listening, b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 500))
    thread.start()
    with pytest.raises(http.client.HTTPException, match='exceeds 256 KiB|more than 100 interim'):
        local_socket.get(listening.getsockname(), '/info', 60)
    thread.join()
