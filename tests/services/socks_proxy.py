"""A proxy on loopback that connects everything to one place: by SOCKS5, byte by byte, and by HTTP's CONNECT."""
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class SocksProxy:
    """`requests` has the `host:port` of each; `login` is wanted if it is not empty, `reply` is the code sent."""

    to: str
    login: tuple[str, str] | None = None
    reply: int = 0
    garbage: bytes = b''
    host: str = ''
    requests: list[str] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        """Answer one client, and pass on what comes from either side."""
        with connection, suppress(OSError, EOFError):
            if self.garbage:
                connection.sendall(self.garbage)
                return
            if connection.recv(1, socket.MSG_PEEK) == b'C':
                self._connected_by_http(connection)
                self._pass_on(connection)
            elif self._logged_in(connection) and self._connected(connection):
                self._pass_on(connection)

    def _logged_in(self, connection: socket.socket) -> bool:
        methods = _read(connection, _read(connection, 2)[1])
        method = 2 if self.login else 0
        _send(connection, bytes((5, method if method in methods else 0xff)))
        if not self.login or method not in methods:
            return not self.login
        user = _read(connection, _read(connection, 2)[1])
        password = _read(connection, _read(connection, 1)[0])
        good = (user.decode(), password.decode()) == self.login
        _send(connection, bytes((1, 0 if good else 1)))
        return good

    def _connected(self, connection: socket.socket) -> bool:
        kind = _read(connection, 4)[3]
        if kind == 3:
            host = _read(connection, _read(connection, 1)[0]).decode()
        else:
            packed = _read(connection, 4 if kind == 1 else 16)
            host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, packed)
        self.requests.append(f'{host}:{int.from_bytes(_read(connection, 2), "big")}')
        # The address looks like the empty lines that end a header.
        _send(connection, bytes((5, self.reply, 0, 1, 10, 10, 13, 10, 13, 10)))
        return not self.reply

    def _connected_by_http(self, connection: socket.socket) -> None:
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += _read(connection, 1)
        self.requests.append(head.split()[1].decode())
        connection.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')

    def _pass_on(self, connection: socket.socket) -> None:
        host, _, port = self.to.partition(':')
        with socket.create_connection((host, int(port))) as other:
            def back() -> None:
                with suppress(OSError):
                    while data := other.recv(65536):
                        connection.sendall(data)
            threading.Thread(target=back, daemon=True).start()
            while data := connection.recv(65536):
                other.sendall(data)


@contextmanager
def socks_proxy(to: str) -> Iterator[SocksProxy]:
    """Run one that connects to `to`, whatever is asked for."""
    proxy = SocksProxy(to)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        proxy.host = f'127.0.0.1:{listening.getsockname()[1]}'

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=proxy.serve, args=(listening.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        yield proxy
        listening.shutdown(socket.SHUT_RDWR)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b''
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _send(connection: socket.socket, data: bytes) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in data:
        connection.sendall(bytes((byte,)))
