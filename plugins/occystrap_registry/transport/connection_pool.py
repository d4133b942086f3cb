"""The connections of one or several runs: reused by requests and images, and interrupted when a run ends."""
import ssl
import threading
from collections import defaultdict

from occystrap_core import Settings
from occystrap_core.files import Patience
from occystrap_registry.transport.http_connection import Connection
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.plain_connection import PlainConnection
from occystrap_registry.transport.proxies import Proxy, proxy_for
from occystrap_registry.transport.url import URL

_CONNECTING = 20.0


class ConnectionPool:
    """Idle connections by host and TLS context. Each has one request at a time, which is faster than sharing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: defaultdict[object, list[Connection]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> 'ConnectionPool':
        """Return the pool of the run."""
        return settings.shared.lasting.get(ConnectionPool, lambda: cls(settings))

    def take(self, url: URL, named: bool, context: ssl.SSLContext | None, http2: bool = False) -> Connection:
        """Return a connection to the host of `url`: an idle one with the same `context`, if there is one.

        Connections with HTTP/2 have other contexts than those without.
        """
        with self._lock:
            if idle := self._idle[_key(url, named, context)]:
                return idle.pop()
        return _made(url, named, context, self._settings, http2)

    def give_back(self, url: URL, named: bool, context: ssl.SSLContext | None, connection: Connection) -> None:
        """Keep a connection for the next request."""
        with self._lock:
            if not self._closed:
                self._idle[_key(url, named, context)].append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close idle connections, and from now on those that are given back."""
        with self._lock:
            self._closed = True
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()


def _made(url: URL, named: bool, context: ssl.SSLContext | None, settings: Settings, http2: bool) -> Connection:
    """Return a connection that is opened by its first request; raises UsageError for an invalid proxy.

    `named`: the user, not a server, named the host of `url`.
    """
    seconds, proxy = min(_CONNECTING, settings.timeout), proxy_for(url)
    patience = Patience(settings.timeout, settings.least_rate)
    if _is_plain(proxy, http2):
        return PlainConnection(Network(url.host, named, patience, proxy), context, seconds)
    from occystrap_registry.transport.httpcore_network import core_dial  # late: httpx takes 60 ms to import
    from occystrap_registry.transport.httpx_connection import HttpxConnection
    network = Network(url.host, named, patience, proxy, core_dial)
    proxy_context = _context_for_proxy(proxy, settings) if proxy and proxy.scheme == 'https' else None
    return HttpxConnection(network, context, seconds, proxy_context, http2)


def _is_plain(proxy: Proxy | None, http2: bool) -> bool:
    return not http2 and (proxy is None or proxy.is_socks)


def _context_for_proxy(proxy: Proxy, settings: Settings) -> ssl.SSLContext:
    from occystrap_registry.transport.tls import context_for  # late, as few runs have one that speaks TLS
    return context_for(proxy.netloc, False, False, settings)


def _key(url: URL, named: bool, context: ssl.SSLContext | None) -> object:
    return url.scheme, url.netloc, named, id(context)  # contexts are made once a run, so their ids stay valid
