"""The network below the HTTP library: resolved addresses are checked, and connections go to the checked ones only."""
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

_RESOLVE_FOR_PROXY = 2.0
"""Timeout in seconds for resolving here a name that a proxy will resolve."""


class RefusedAddress(httpx.ConnectError):
    """A name resolves to an address that is refused."""


class ProxyUnreachable(httpx.ConnectError):
    """The proxy before the host cannot be reached."""

    def __init__(self, proxy: Proxy, error: Exception) -> None:
        """`error` is the failure of the connection to it."""
        super().__init__(str(error))
        self.proxy, self.timed_out = proxy, isinstance(error, httpcore.ConnectTimeout)


class Network(httpcore.NetworkBackend):
    """Makes the one TCP connection below a `Connection`."""

    def __init__(self, host: str, named: bool, patience: Patience, proxy: Proxy | None = None) -> None:
        """`host` is the destination, through `proxy` if there is one; `named`: the user named it, not a server."""
        self._host, self._named, self.patience, self.proxy = host, named, patience, proxy
        self._tcp = httpcore.SyncBackend()
        self._socket: socket.socket | None = None
        self._stream: Stream | None = None

    def opened(self, stream: Stream) -> None:
        """Note the stream and its socket."""
        self._stream, self._socket = stream, stream.get_extra_info('socket')

    def begin_request(self) -> None:
        """Note that a request follows on the connection, if there is one already."""
        if self._stream is not None:
            self._stream.begin_request()

    def interrupt(self) -> None:
        """Break the connection, which wakes up the waiting thread; closing would not."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # that of TLS sockets would send first

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        """Return a connection to the first address that answers; raises RefusedAddress, httpcore's errors.

        With a proxy the connection is to the proxy: for one that speaks HTTP, httpcore passes its own name as `host`.
        Raises ProxyUnreachable if it cannot be reached.
        """
        end = time.monotonic() + (timeout or self.patience.seconds)
        if self.proxy is None:
            addresses = self._allowed(_resolved(host, port, end - time.monotonic()))
            return Stream(self._first(addresses, port, end, local_address, socket_options), self)
        self._check_for_proxy()
        inner = self._to_proxy(self.proxy, end, local_address, socket_options)
        if self.proxy.is_socks:
            _connect_by(self.proxy, host, port, inner, end)
        return Stream(inner, self)

    def _to_proxy(self, proxy: Proxy, end: float, local_address: str | None, options: Iterable[Any] | None,
                  ) -> httpcore.NetworkStream:
        port = proxy.port_or_default
        try:
            addresses = _resolved(proxy.bare_host, port, end - time.monotonic())
            return self._first(addresses, port, end, local_address, options)
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
        """Return the allowed addresses: not those of metadata services, unless the user gave one as a number.

        A name given by the user may be link-local, as that of a container's host; one given by a server may not.
        """
        if self._named and is_numeric(self._host):
            return addresses
        refused = is_metadata_service if self._named else is_metadata
        allowed = [each for each in addresses if not refused(each)]
        if not allowed:
            raise RefusedAddress(addresses[0])
        return allowed

    def _check_for_proxy(self) -> None:
        """Refuse a host that resolves here to such an address; one that does not is left to the proxy."""
        if not self._named:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                self._allowed(_resolved(self._host, 0, _RESOLVE_FOR_PROXY))


def _connect_by(proxy: Proxy, host: str, port: int, stream: httpcore.NetworkStream, end: float) -> None:
    """Have a SOCKS proxy connect until `end`; raises httpcore.ProxyError and ConnectTimeout."""
    from occystrap_registry.transport.socks import SocksError, connect_by  # late, as few proxies speak it

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
    """Return the addresses of a name, by a thread: the C library's resolver has no timeout and ignores signals."""
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
        raise httpcore.ConnectTimeout(f'{host} was not resolved in time') from None
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
