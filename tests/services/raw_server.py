"""A server that a test writes by hand, byte for byte, for what no HTTP library would send."""
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.unit.registry.scripted import Answer

LONG = 12.0
"""Seconds after which a server that goes on for ever has shown enough."""


@dataclass
class RawServer:
    """Answers each request with the first that `answers` has for its `METHOD /path`: bytes, or a function that sends.

    `requests` has what was requested, with the header, in order; `closed` is set at the end of the test. `greeting`
    sends what comes before any request.
    """

    host: str = ''
    answers: dict[str, 'bytes | Send'] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    greeting: 'Send | None' = None

    def serve(self, routes: dict[str, object]) -> None:
        """Give the answers of a `Scripted`."""
        for name, say in routes.items():
            if isinstance(say, Answer):
                self.answers[name] = plain(say.body, say.headers)

    def received(self, start: str) -> list[str]:
        """Return the requests that begin so."""
        return [each for each in self.requests if each.startswith(start)]


Send = Callable[[socket.socket, RawServer], None]


@contextmanager
def raw_server(receive_buffer: int = 0) -> Iterator[RawServer]:
    """Run one on loopback; `receive_buffer` limits what the system takes for it."""
    server = RawServer()
    with socket.socket() as listening:
        if receive_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listening.bind(('127.0.0.1', 0))
        listening.listen(50)
        server.host = f'127.0.0.1:{listening.getsockname()[1]}'
        threading.Thread(target=_accept, args=(listening, server), daemon=True).start()
        yield server
        server.closed.set()
        listening.shutdown(socket.SHUT_RDWR)


def plain(body: bytes, headers: object = (), status: str = '200 OK') -> bytes:
    """Return an ordinary answer."""
    lines = [f'{name}: {value}\r\n' for name, value in dict(headers).items()]  # type: ignore[call-overload]
    return f'HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{"".join(lines)}\r\n'.encode() + body


def again(start: bytes, data: bytes, seconds: float = 0) -> Send:
    """Send `start`, then `data` again and again, every so many seconds, for longer than anybody should listen."""
    def send(connection: socket.socket, server: RawServer) -> None:
        connection.sendall(start)
        until = time.monotonic() + LONG
        while not server.closed.is_set() and time.monotonic() < until:
            connection.sendall(data)
            time.sleep(seconds)
    return send


def _accept(listening: socket.socket, server: RawServer) -> None:
    with suppress(OSError):
        while True:
            connection = listening.accept()[0]
            server.connections += 1
            threading.Thread(target=_serve, args=(connection, server), daemon=True).start()


def _serve(connection: socket.socket, server: RawServer) -> None:
    rest = b''
    with connection, suppress(OSError):
        if server.greeting:
            server.greeting(connection, server)
        while True:
            while b'\r\n\r\n' not in rest:
                if not (data := connection.recv(65536)):
                    return
                rest += data
            head, _, rest = rest.partition(b'\r\n\r\n')
            server.requests.append(head.decode('latin-1'))
            method, target, _ = server.requests[-1].split(' ', 2)
            answer = server.answers.get(f'{method} {target.partition("?")[0]}', plain(b'', status='404 Not Found'))
            connection.sendall(answer) if isinstance(answer, bytes) else answer(connection, server)
