"""Reading over a socket, from whoever answers in whatever way HTTP has."""
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from occystrap_docker import local_socket

BODY = bytes(range(256)) * 1000
ANSWERS = {
    'to the end': b'HTTP/1.0 200 OK\r\n\r\n' + BODY,
    'with a length': b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(BODY) + BODY,
    'in chunks': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b''.join(
        b'%x\r\n%s\r\n' % (len(piece), piece) for piece in (BODY[:5], BODY[5:100_000], BODY[100_000:], b'')),
}


@pytest.fixture
def listening(folder: Path) -> Iterator[socket.socket]:
    """A socket that listens, with room for one connection in its queue."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / 'a.sock'))
        listener.listen(0)
        yield listener


def answer(listener: socket.socket, said: bytes, asked: list[bytes]) -> None:
    with listener.accept()[0] as connection:
        asked.append(connection.recv(65536))
        with suppress(ConnectionError):
            connection.sendall(said)


@pytest.mark.parametrize('said', ANSWERS.values(), ids=ANSWERS)
def test_every_way_to_answer(said: bytes, listening: socket.socket) -> None:
    asked: list[bytes] = []
    thread = threading.Thread(target=answer, args=(listening, said, asked))
    thread.start()
    found = local_socket.get(listening.getsockname(), '/images/a%20b/get', 5)
    buffer = memoryview(bytearray(len(BODY) + 10))
    count = 0
    while more := found.readinto(buffer[count:]):
        count += more
    found.close()
    thread.join()
    assert found.status == 200 and bytes(buffer[:count]) == BODY
    assert asked[0].startswith(b'GET /images/a%20b/get HTTP/1.0\r\n') and b'Connection: close' in asked[0]


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
