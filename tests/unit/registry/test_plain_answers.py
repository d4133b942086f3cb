"""Answers of HTTP/1.1 as bytes: what is none is refused, and two readers never differ about where one ends."""
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from occystrap_core import ServiceError, ServiceUnavailable, Settings
from occystrap_core.files import Patience
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.network import Network
from tests.services.raw_server import RawServer, raw_server
from tests.unit.registry.scripted import client_of

GET, OK = 'GET /x', b'HTTP/1.1 200 OK\r\n'
LENGTH, CHUNKED = b'Content-Length: 4\r\n', b'Transfer-Encoding: chunked\r\n'
MALFORMED = {
    'no HTTP': b'SSH-2.0-OpenSSH_9.2\r\n\r\n', 'no version': b'HTTP/9 200 OK\r\n\r\n',
    'a status of letters': b'HTTP/1.1 2OO OK\r\n\r\n', 'a short status': b'HTTP/1.1 20 OK\r\n\r\n',
    'a field without a colon': OK + b'Content-Length 4\r\n' + LENGTH + b'\r\nbody',
    'a blank before the colon': OK + b'Content-Length : 4\r\n\r\nbody', 'a field without a name': OK + b': 4\r\n\r\n',
    'a blank line of blanks': OK + b' \r\n' + LENGTH + b'\r\nbody',
    'a zero byte': OK + b'X: a\0b\r\n' + LENGTH + b'\r\nbody',
    'a return within': OK + b'X: a\rContent-Length: 9\r\n' + LENGTH + b'\r\nbody',
    'two lengths': OK + LENGTH + b'Content-Length: 5\r\n\r\nbody!',
    'two in one': OK + b'Content-Length: 4, 5\r\n\r\nbody!',
    'a length with a sign': OK + b'Content-Length: +4\r\n\r\nbody',
    'a negative length': OK + b'Content-Length: -4\r\n\r\nbody',
    'a length with a line below': OK + b'Content-Length: 4_0\r\n\r\nbody',
    'no length': OK + b'Content-Length:\r\n\r\nbody',
    'a length of many digits': OK + b'Content-Length: ' + b'4' * 5000 + b'\r\n\r\nbody',
    'a coding with a folded line': OK + b'Transfer-Encoding: chunked\r\n \r\n' + LENGTH + b'\r\n4\r\nbody\r\n0\r\n\r\n',
    'another coding': OK + b'Transfer-Encoding: gzip\r\n\r\nbody',
    'two codings': OK + b'Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
    'the coding twice': OK + CHUNKED * 2 + b'\r\n4\r\nbody\r\n0\r\n\r\n',
    'a size of a chunk that is none': OK + CHUNKED + b'\r\nfour\r\nbody\r\n0\r\n\r\n',
    'a negative size of a chunk': OK + CHUNKED + b'\r\n-4\r\nbody\r\n0\r\n\r\n',
    'a chunk that is cut': OK + CHUNKED + b'\r\n5\r\nbody', 'a body that is cut': OK + b'Content-Length: 5\r\n\r\nbody',
    'a head that is cut': OK + LENGTH, 'nothing': b''}
GOOD = {
    'a length': OK + LENGTH + b'\r\nbody', 'chunks': OK + CHUNKED + b'\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n',
    'chunks with a trailer': OK + CHUNKED + b'\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n', 'until the end': OK + b'\r\nbody',
    'an old version': b'HTTP/1.0 200 OK\r\n\r\nbody', 'no reason': b'HTTP/1.1 200\r\n' + LENGTH + b'\r\nbody',
    'bare line feeds': b'HTTP/1.1 200 OK\nContent-Length: 4\n\nbody',
    'the same length twice': OK + LENGTH * 2 + b'\r\nbody', 'the same in one': OK + b'Content-Length: 4, 4\r\n\r\nbody',
    'chunks and a length': OK + b'Content-Length: 9\r\n' + CHUNKED + b'\r\n4\r\nbody\r\n0\r\n\r\n',
    'a coding in upper case': OK + CHUNKED.upper() + b'\r\n4\r\nbody\r\n0\r\n\r\n',
    'blanks after values': OK + b'Content-Length: 4 \t\r\n\r\nbody',
    'blanks after a coding': OK + CHUNKED[:-2] + b' \r\n\r\n4\r\nbody\r\n0\r\n\r\n',
    'a folded line': OK + b'X: a\r\n b\r\n' + LENGTH + b'\r\nbody',
    'hints': b'HTTP/1.1 103 Hints\r\n\r\n' + OK + LENGTH + b'\r\nbody'}


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server that answers what the test says."""
    with raw_server() as started:
        started.answers['GET /v2/'] = OK + b'Content-Length: 2\r\n\r\n{}'
        yield started


def client(server: RawServer) -> RegistryClient:
    return client_of(server.host, Settings(timeout=5.0, retries=0))


@pytest.mark.parametrize('answer', MALFORMED)
def test_malformed_answers_are_errors(answer: str, server: RawServer) -> None:
    def send(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(MALFORMED[answer])
        connection.shutdown(socket.SHUT_WR)
    server.answers[GET] = send
    with pytest.raises(ServiceUnavailable, match=server.host):
        client(server).fetch('GET', '/x', 's')


@pytest.mark.parametrize('answer', GOOD)
def test_odd_but_valid_answers_are_read(answer: str, server: RawServer) -> None:
    def send(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(GOOD[answer])
        if answer in ('until the end', 'an old version'):
            connection.shutdown(socket.SHUT_WR)
    server.answers[GET] = send
    asking = client(server)
    for _ in range(2):  # the next answer begins where this one ends
        assert asking.fetch('GET', '/x', 's').body == b'body'


def test_fields_keep_their_text(server: RawServer) -> None:
    fields = 'X: übel\r\nX: b\r\nY: a\r\n\tb\r\n'.encode() + b'Z: \xfc\r\n'
    server.answers[GET] = OK + fields + LENGTH + b'\r\nbody'
    headers = client(server).fetch('GET', '/x', 's').headers
    assert (headers['x'], headers.get_list('X'), headers['Y'], headers['Z']) == ('übel, b', ['übel', 'b'], 'a b', 'ü')
    assert 'q' not in headers and headers.get('q') is None and headers.get('q', '0') == '0'


def test_a_refusal_that_comes_before_all_is_sent_is_read(server: RawServer) -> None:
    def refuse(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(b'HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig')
        connection.shutdown(socket.SHUT_RD)
        time.sleep(0.3)
    server.answers['PUT /x'] = refuse
    body = [memoryview(bytes(1 << 20))] * 64
    for headers in ({'Content-Length': str(64 << 20)}, {}):
        reply = client(server).fetch('PUT', '/x', 's', headers, lambda: body)
        assert (reply.status, reply.body) == (413, b'big')


@pytest.mark.parametrize('size', [3, 5])
def test_a_body_is_as_long_as_its_header_says(size: int, server: RawServer) -> None:
    server.answers['PUT /x'] = OK + LENGTH + b'\r\nbody'
    with pytest.raises(ServiceError, match='not as long as its Content-Length'):
        client(server).fetch('PUT', '/x', 's', {'Content-Length': str(size)}, lambda: [memoryview(b'body')])


def test_a_url_that_httpx_refuses_is_an_error(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_registry.transport.connection_pool._is_plain', lambda proxy, http2: False)
    with pytest.raises(ServiceError, match='URL too long'):
        client(server).fetch('GET', '/' + 'ü' * 20_000, 's')


class Full:
    """A wire that has as many bytes as anybody reads."""

    protocol, socket = None, None

    def receive_into(self, buffer: memoryview, timeout: float) -> int:
        return len(buffer)


def test_much_that_arrived_at_once_is_no_framing() -> None:
    stream = Stream(cast(Any, Full()), Network('registry.example', True, Patience(5.0, 100.0)))
    stream.begin_body(None)
    taken = 0
    for _ in range(20):
        count = stream.read_into(memoryview(bytearray(1 << 20)))
        stream.gained(count)
        taken += count
    assert taken > 1 << 20


@pytest.mark.parametrize('value', ['a\r\nX: y', 'a\nX: y', 'a\0b\r\n c', '☃'])
def test_an_invalid_header_value_is_not_sent(value: str, server: RawServer) -> None:
    with pytest.raises(ServiceError):
        client(server).fetch('GET', '/x', 's', {'X': value})
    assert not server.received(GET)
