"""Servers of HTTP/2 that break its rules, or send frames without end."""
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from occystrap_core import ServiceUnavailable, Settings
from occystrap_core.oci import Reference
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.address import Address
from tests.services.certificates import Authority

Answer = Callable[[H2Connection, ssl.SSLSocket, int], None]
PING = bytes.fromhex('0000080600000000000000000000000000')


@contextmanager
def serving(directory: Path, answer: Answer) -> Iterator[str]:
    """Yield the host of a server on which `answer` sends what follows on each request."""
    pair = Authority(directory).sign('server', 'localhost')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(['h2'])

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            state = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
            state.initiate_connection()
            while data := connection.recv(65536):
                for event in state.receive_data(data):
                    if isinstance(event, RequestReceived):
                        answer(state, connection, event.stream_id)
                connection.sendall(state.data_to_send())

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
        threading.Thread(target=accept, daemon=True).start()
        yield f'localhost:{listener.getsockname()[1]}'
        listener.shutdown(socket.SHUT_RDWR)


def fetch(host: str) -> bytes:
    client = RegistryClient(Address(Reference('app', host=host), host, http2=True), Settings(timeout=5.0, retries=0))
    return client.fetch('GET', '/x', 's').body


def well(state: H2Connection, connection: ssl.SSLSocket, stream: int) -> None:
    state.send_headers(stream, [(':status', '200'), ('content-length', '4')])
    state.send_data(stream, b'body', end_stream=True)


def too_short(state: H2Connection, connection: ssl.SSLSocket, stream: int) -> None:
    state.send_headers(stream, [(':status', '200'), ('content-length', '100')])
    state.send_data(stream, b'body', end_stream=True)


def pings(state: H2Connection, connection: ssl.SSLSocket, stream: int) -> None:
    while True:
        connection.sendall(PING * 1000)
        with suppress(ssl.SSLWantReadError):
            connection.setblocking(False)
            connection.recv(1 << 20)
        connection.setblocking(True)


def pings_in_the_body(state: H2Connection, connection: ssl.SSLSocket, stream: int) -> None:
    state.send_headers(stream, [(':status', '200')])
    connection.sendall(state.data_to_send())
    pings(state, connection, stream)


def test_a_good_one(tmp_path: Path) -> None:
    with serving(tmp_path, well) as host:
        assert fetch(host) == b'body'


@pytest.mark.parametrize(('answer', 'words'), [
    (too_short, 'InvalidBodyLengthError'), (pings, 'mostly framing'), (pings_in_the_body, 'mostly framing')])
def test_bad_ones(answer: Answer, words: str, tmp_path: Path) -> None:
    with serving(tmp_path, answer) as host, pytest.raises(ServiceUnavailable, match=words):
        fetch(host)
