"""The TCP connection to a host, with or without TLS, below HTTP."""
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from occystrap_registry.transport.hosts import host_bytes
from occystrap_registry.transport.transport_errors import (
    BrokenConnection, ConnectError, ConnectTimeout, NotSent, TimedOut, TransportError,
)


class Wire(Protocol):
    """A connection; timeouts are in seconds."""

    @property
    def socket(self) -> socket.socket:
        """The TCP socket, for breaking the connection."""

    @property
    def protocol(self) -> str | None:
        """The protocol that TLS has negotiated (RFC 7301), such as h2."""

    def receive_into(self, buffer: memoryview, timeout: float) -> int:
        """Return how many bytes were received, 0 at the end; raises TimedOut, BrokenConnection."""

    def send(self, data: memoryview, timeout: float) -> int:
        """Return how many bytes were sent; raises TimedOut, NotSent."""

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> 'Wire':
        """Return the connection with TLS; raises ConnectError, ConnectTimeout."""

    def is_readable(self) -> bool:
        """Return whether bytes, or the end, have arrived."""

    def close(self) -> None:
        """Close the connection."""


Dial = Callable[[str, int, float], Wire]
"""Connects to an address at a port, within seconds; raises ConnectError, ConnectTimeout."""


class SocketWire:
    """A connection by the sockets of the standard library."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @property
    def socket(self) -> socket.socket:
        """The socket itself."""
        return self._socket

    @property
    def protocol(self) -> str | None:
        """What TLS has agreed on."""
        return self._socket.selected_alpn_protocol() if isinstance(self._socket, ssl.SSLSocket) else None

    def receive_into(self, buffer: memoryview, timeout: float) -> int:
        """Receive at least a byte, unless the connection ends."""
        with _raising(TimedOut, BrokenConnection):
            self._socket.settimeout(timeout)
            return self._socket.recv_into(buffer)

    def send(self, data: memoryview, timeout: float) -> int:
        """Send at least a byte."""
        with _raising(TimedOut, NotSent):
            self._socket.settimeout(timeout)
            return self._socket.send(data)

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> 'SocketWire':
        """Make TLS, or close the connection."""
        try:
            with _raising(ConnectTimeout, ConnectError):
                self._socket.settimeout(timeout)
                return SocketWire(context.wrap_socket(self._socket, server_hostname=host_bytes(host)))
        except BaseException:
            self.close()
            raise

    def is_readable(self) -> bool:
        """Return whether bytes, or the end, have arrived."""
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the connection without waiting for TLS's closing message."""
        with suppress(OSError):
            self._socket.close()


def dial(address: str, port: int, timeout: float) -> SocketWire:
    """Return a connection to a numeric address; raises ConnectError, ConnectTimeout."""
    with _raising(ConnectTimeout, ConnectError):
        place = host_bytes(address), port
        connected = socket.create_connection(place, timeout)  # type: ignore[arg-type]  # bytes are taken, too
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketWire(connected)


@contextmanager
def _raising(timed_out: type[TransportError], broken: type[TransportError]) -> Iterator[None]:
    """Raise these exceptions for the errors of a socket."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
