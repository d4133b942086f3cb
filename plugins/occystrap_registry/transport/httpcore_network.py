"""Our network in the form that httpcore requires, for HTTP/2 and for HTTP proxies."""
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpcore

from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.transport_errors import (
    BrokenConnection, ConnectError, ConnectTimeout, NotSent, TimedOut,
)

_CONNECTING = 20.0
_NESTED = 256 << 10
"""Bytes sent at once through TLS within TLS, within one timeout."""


class CoreNetwork(httpcore.NetworkBackend):
    """Connects through our network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        """Return a connection to a host or its proxy; raises TransportError."""
        return _CoreStream(self._network.connect(host, port, timeout or _CONNECTING))


class _CoreStream(httpcore.NetworkStream):
    """Our stream; httpcore passes its exceptions on unchanged, except the one that it handles itself."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._head = b''

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.stream.expects_head and not self._head:
            self._head = self.stream.read_head()
        if self._head:
            data, self._head = self._head[:max_bytes], self._head[max_bytes:]
            return data
        buffer = memoryview(bytearray(max_bytes))
        return bytes(buffer[:self.stream.read_into(buffer)])

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self.stream.write(buffer)
        except NotSent as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None,
                  ) -> httpcore.NetworkStream:
        return _CoreStream(self.stream.start_tls(ssl_context, server_hostname or '', timeout or _CONNECTING))

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for: a "readable" idle connection is not reused.

        One after a chunked answer is reported as readable too, since h11 would take bytes that arrived with its end for
        the next answer.
        """
        if info == 'is_readable':
            return self.stream.has_frames or not self.stream.is_reusable
        return cast(CoreWire, self.stream.wire).inner.get_extra_info(info)


def stream_of(stream: Any) -> Stream:
    """Return our stream below an answer of httpcore."""
    return cast(_CoreStream, stream).stream


class CoreWire:
    """A connection by httpcore's sockets, which can have TLS within TLS."""

    def __init__(self, inner: httpcore.NetworkStream, nested: bool = False) -> None:
        """`nested` means TLS within TLS, where data cannot be sent by the socket."""
        self.inner, self._nested = inner, nested

    @property
    def socket(self) -> socket.socket:
        """The TCP socket."""
        return cast(socket.socket, self.inner.get_extra_info('socket'))

    @property
    def protocol(self) -> str | None:
        """The protocol that TLS has negotiated."""
        tls = self.inner.get_extra_info('ssl_object')
        return cast(str | None, tls.selected_alpn_protocol()) if tls else None

    def receive_into(self, buffer: memoryview, timeout: float) -> int:
        """Receive; raises TimedOut, BrokenConnection."""
        try:
            data = self.inner.read(len(buffer), timeout)
        except httpcore.ReadTimeout as error:
            raise TimedOut(str(error)) from error
        except httpcore.ReadError as error:
            raise BrokenConnection(str(error)) from error
        buffer[:len(data)] = data
        return len(data)

    def send(self, data: memoryview, timeout: float) -> int:
        """Send; raises TimedOut, NotSent."""
        try:
            if self._nested:
                data = data[:_NESTED]
                self.inner.write(bytes(data), timeout)
                return len(data)
            self.socket.settimeout(timeout)
            return self.socket.send(data)
        except (TimeoutError, httpcore.WriteTimeout) as error:
            raise TimedOut(str(error)) from error
        except (OSError, httpcore.WriteError) as error:
            raise NotSent(str(error)) from error

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> 'CoreWire':
        """Make TLS; raises ConnectError, ConnectTimeout."""
        nested = self.protocol_is_tls
        with _connecting():
            return CoreWire(self.inner.start_tls(context, host, timeout), nested)

    @property
    def protocol_is_tls(self) -> bool:
        """Whether the connection has TLS already."""
        return self.inner.get_extra_info('ssl_object') is not None

    def is_readable(self) -> bool:
        """Return whether bytes, or the end, have arrived."""
        return bool(self.inner.get_extra_info('is_readable'))

    def close(self) -> None:
        """Close the connection."""
        self.inner.close()


def core_dial(address: str, port: int, timeout: float) -> CoreWire:
    """Return a connection to a numeric address; raises ConnectError, ConnectTimeout."""
    with _connecting():
        return CoreWire(httpcore.SyncBackend().connect_tcp(address, port, timeout))


@contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except httpcore.ConnectTimeout as error:
        raise ConnectTimeout(str(error)) from error
    except httpcore.ConnectError as error:
        raise ConnectError(str(error)) from error
