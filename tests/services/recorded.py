"""A relay before a service on this machine that keeps every byte of both directions."""
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.services.ports import LOOPBACK
from tests.services.threaded_server import stop


@dataclass
class Recorded:
    """A running relay; clients speak to `host`."""

    host: str
    seen: bytearray = field(default_factory=bytearray)


@contextmanager
def recorded(port: int, address: str = LOOPBACK) -> Iterator[Recorded]:
    """Relay to a port of an address."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((address, port)) as upstream:
                back = threading.Thread(target=_pass, args=(upstream, self.request, relay.seen), daemon=True)
                back.start()
                _pass(self.request, upstream, relay.seen)
                back.join()

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        relay = Recorded(f'{LOOPBACK}:{server.server_address[1]}')
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield relay
        stop(server)


def _pass(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            seen += data
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
