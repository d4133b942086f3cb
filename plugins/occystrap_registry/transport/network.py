"""The network below the HTTP library: what a name resolves to is looked at before anything connects to just that."""
import queue
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from occystrap_core.files import Patience
from occystrap_registry.transport.hosts import is_metadata, is_metadata_service, is_numeric
from occystrap_registry.transport.http_library import httpcore, httpx
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.proxies import Proxy
from occystrap_registry.transport.socks import PORT, SocksError, connect_by

_PORTS = {'http': 80, 'https': 443}
_LOOK_BESIDE_A_PROXY = 2.0
"""Seconds for this machine's own idea of a name that a proxy will resolve."""


class RefusedAddress(httpx.ConnectError):
    """A name stands for an address where nobody should be sent."""


class ProxyUnreachable(httpx.ConnectError):
    """Not the host could not be reached, but the proxy before it."""

    def __init__(self, proxy: Proxy, error: Exception) -> None:
        """`error` is what happened on the way to it."""
        super().__init__(str(error))
        self.proxy, self.timed_out = proxy, isinstance(error, httpcore.ConnectTimeout)


class Network(httpcore.NetworkBackend):
    """Makes the one TCP connection below a `Connection`."""

    def __init__(self, host: str, named: bool, patience: Patience, proxy: Proxy | None = None) -> None:
        """`host` is asked, by way of `proxy` if there is one; `named`: the user named it, not a server."""
        self._host, self._named, self.patience, self.proxy = host, named, patience, proxy
        self._tcp = httpcore.SyncBackend()
        self._socket: socket.socket | None = None
        self._stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        """Take note of the stream, and of its socket."""
        self._stream, self._socket = stream, stream.get_extra_info('socket')

    def begin_request(self) -> None:
        """Take note that a request follows on the connection, if there is one already."""
        if self._stream is not None:
            self._stream.begin_request()

    def interrupt(self) -> None:
        """Wake up the thread that waits: to it the connection is broken. Closing would not wake it."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS sockets have one that says goodbye first

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        """Return a connection to the first address that answers; raises RefusedAddress, httpcore's errors.

        With a proxy it is the connection to that: httpcore asks for one that speaks HTTP by its own name. Raises
        ProxyUnreachable where there is none.
        """
        end = time.monotonic() + (timeout or self.patience.seconds)
        if self.proxy is None:
            addresses = self._allowed(_resolved(host, port, end - time.monotonic()))
            return Stream(self._first(addresses, port, end, local_address, socket_options), self)
        self._look_beside_a_proxy()
        inner = self._to_proxy(self.proxy, end, local_address, socket_options)
        if self.proxy.is_socks:
            _connect_by(self.proxy, host, port, inner, end)
        return Stream(inner, self)

    def _to_proxy(self, proxy: Proxy, end: float, local_address: str | None, options: Iterable[Any] | None,
                  ) -> httpcore.NetworkStream:
        host, port = proxy.host.strip('[]'), proxy.port or _PORTS.get(proxy.scheme, PORT)
        try:
            return self._first(_resolved(host, port, end - time.monotonic()), port, end, local_address, options)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise ProxyUnreachable(proxy, error) from error

    def _first(self, addresses: list[str], port: int, end: float, local_address: str | None,
               options: Iterable[Any] | None) -> httpcore.NetworkStream:
        """Return a connection to the first of several addresses that answers until `end`."""
        while True:
            address, seconds = addresses.pop(0), max(end - time.monotonic(), 0.001)
            try:
                seconds = seconds / 2 if addresses else seconds
                return self._tcp.connect_tcp(address, port, seconds, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not addresses or time.monotonic() > end:
                    raise

    def _allowed(self, addresses: list[str]) -> list[str]:
        """Return those where one may go: what the user wrote as a number always, anything else not to metadata.

        A name that the user gave may be link-local, as that of a container's host is; one that a server gave may not.
        """
        if self._named and is_numeric(self._host):
            return addresses
        refused = is_metadata_service if self._named else is_metadata
        allowed = [each for each in addresses if not refused(each)]
        if not allowed:
            raise RefusedAddress(addresses[0])
        return allowed

    def _look_beside_a_proxy(self) -> None:
        """Refuse what this machine, too, knows to be such an address; what it cannot resolve is the proxy's affair."""
        if not self._named:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                self._allowed(_resolved(self._host, 0, _LOOK_BESIDE_A_PROXY))


def _connect_by(proxy: Proxy, host: str, port: int, stream: httpcore.NetworkStream, end: float) -> None:
    """Have a SOCKS proxy connect until `end`; raises httpcore.ProxyError and ConnectTimeout."""
    def left() -> float:
        return max(end - time.monotonic(), 0.001)
    try:
        connect_by(proxy, host, port, lambda data: stream.write(data, left()), lambda count: stream.read(count, left()))
    except SocksError as error:
        stream.close()
        raise httpcore.ProxyError(str(error)) from error
    except httpcore.TimeoutException as error:
        stream.close()
        raise httpcore.ProxyError('it did not answer in time (--timeout)') from error
    except httpcore.NetworkError as error:
        stream.close()
        raise httpcore.ProxyError('it closed the connection') from error


def _resolved(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name, on a thread: the resolver of the C library hears no signals and has no limit."""
    if is_numeric(host):
        return _addresses(host, port)
    results: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            results.put(_addresses(host, port))
        except Exception as error:  # raised again where it is waited for
            results.put(error)
    threading.Thread(target=resolve, name='resolver', daemon=True).start()
    try:
        result = results.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise httpcore.ConnectTimeout(f'no address for {host} came in time') from None
    if isinstance(result, Exception):
        raise result
    return result


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return list(dict.fromkeys(socket.getnameinfo(each[4], numeric)[0] for each in found))
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
