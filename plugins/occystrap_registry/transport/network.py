"""The network below the HTTP libraries: addresses are checked after resolving, and only checked ones are connected to.
"""
import queue
import socket
import threading
import time
from contextlib import suppress

from occystrap_core.files import Patience
from occystrap_registry.transport.hosts import host_bytes, is_metadata, is_metadata_service, is_numeric
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.proxies import Proxy
from occystrap_registry.transport.transport_errors import (
    BrokenConnection, ConnectError, ConnectTimeout, ProxyError, TimedOut,
)
from occystrap_registry.transport.wire import Dial, Wire, dial

_RESOLVE_FOR_PROXY = 2.0
"""Timeout in seconds for resolving a name here that a proxy will resolve itself."""


class RefusedAddress(ConnectError):
    """A name resolves to a forbidden address."""


class ProxyUnreachable(ConnectError):
    """The proxy cannot be reached."""

    def __init__(self, proxy: Proxy, error: Exception) -> None:
        """`error` is the error of the connection to the proxy."""
        super().__init__(str(error))
        self.proxy, self.timed_out = proxy, isinstance(error, ConnectTimeout)


class Network:
    """Makes the one TCP connection below a `Connection`."""

    def __init__(self, host: str, named: bool, patience: Patience, proxy: Proxy | None = None, dial: Dial = dial,
                 ) -> None:
        """`host` is the destination, through `proxy` if there is one; `named`: the user, not a server, named it."""
        self._host, self._named, self.patience, self.proxy, self._dial = host, named, patience, proxy, dial
        self._socket: socket.socket | None = None
        self._stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        """Note the stream and its socket."""
        self._stream, self._socket = stream, stream.wire.socket

    def begin_request(self) -> None:
        """Note that a request follows on the connection, if there is one already."""
        if self._stream is not None:
            self._stream.begin_request()

    def interrupt(self) -> None:
        """Break the connection, which wakes up the waiting thread; closing it would not."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # the one of TLS sockets sends first

    def connect(self, host: str, port: int, seconds: float) -> Stream:
        """Return a connection to the first address that answers; raises RefusedAddress, ConnectError, ProxyError.

        With a proxy the connection is to the proxy: for one that speaks HTTP, the caller passes its name as `host`.
        Raises ProxyUnreachable if it cannot be reached.
        """
        end = time.monotonic() + seconds
        if self.proxy is None:
            addresses = self._allowed(_resolved(host, port, end - time.monotonic()))
            return Stream(self._first(addresses, port, end), self)
        self._check_for_proxy()
        wire = self._to_proxy(self.proxy, end)
        if self.proxy.is_socks:
            _connect_by(self.proxy, host, port, wire, end)
        return Stream(wire, self)

    def _to_proxy(self, proxy: Proxy, end: float) -> Wire:
        port = proxy.port_or_default
        try:
            return self._first(_resolved(proxy.bare_host, port, end - time.monotonic()), port, end)
        except ConnectError as error:
            raise ProxyUnreachable(proxy, error) from error

    def _first(self, addresses: list[str], port: int, end: float) -> Wire:
        """Return a connection to the first of several addresses that answers before `end`."""
        while True:
            address, seconds = addresses.pop(0), max(end - time.monotonic(), 0.001)
            try:
                return self._dial(address, port, seconds / 2 if addresses else seconds)
            except ConnectError:
                if not addresses or time.monotonic() > end:
                    raise

    def _allowed(self, addresses: list[str]) -> list[str]:
        """Return the permitted addresses: no metadata services, unless the user gave a numeric address.

        A name given by the user may be link-local, like that of a container's host; one given by a server may not.
        """
        if self._named and is_numeric(self._host):
            return addresses
        refused = is_metadata_service if self._named else is_metadata
        allowed = [each for each in addresses if not refused(each)]
        if not allowed:
            raise RefusedAddress(addresses[0])
        return allowed

    def _check_for_proxy(self) -> None:
        """Refuse a host that resolves to a forbidden address here; one that does not resolve is left to the proxy."""
        if not self._named:
            try:
                addresses = _resolved(self._host, 0, _RESOLVE_FOR_PROXY)
            except ConnectError:
                return
            self._allowed(addresses)


def _connect_by(proxy: Proxy, host: str, port: int, wire: Wire, end: float) -> None:
    """Make a SOCKS proxy connect, before `end`; raises ProxyError."""
    from occystrap_registry.transport.socks import SocksError, connect_by  # late, as few proxies speak it

    def left() -> float:
        return max(end - time.monotonic(), 0.001)

    def send(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[wire.send(rest, left()):]

    def receive(count: int) -> bytes:
        buffer = memoryview(bytearray(count))
        return bytes(buffer[:wire.receive_into(buffer, left())])
    answers: dict[type[Exception], str] = {TimedOut: 'it did not answer in time (--timeout)',
                                           BrokenConnection: 'it closed the connection'}
    try:
        connect_by(proxy, host, port, send, receive)
    except (SocksError, TimedOut, BrokenConnection) as error:
        wire.close()
        answer = next((text for kind, text in answers.items() if isinstance(error, kind)), str(error))
        raise ProxyError(proxy.refusal(f'{host}:{port}', answer)) from error


def _resolved(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name, resolved on a thread: the C library's resolver has no timeout and ignores
    signals."""
    if is_numeric(host):
        return _addresses(host, port)
    results: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            results.put(_addresses(host, port))
        except Exception as error:  # raised again by the waiting thread
            results.put(error)
    threading.Thread(target=resolve, name='resolver', daemon=True).start()
    try:
        result = results.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise ConnectTimeout(f'{host} was not resolved in time') from None
    if isinstance(result, Exception):
        raise result
    return result


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host_bytes(host), port, type=socket.SOCK_STREAM)
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return list(dict.fromkeys(socket.getnameinfo(each[4], numeric)[0] for each in found))
    except OSError as error:
        raise ConnectError(str(error)) from error
