"""The connections of a run, or of several: reused by requests and images, interrupted when a run ends."""
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

from occystrap_core import ServiceError, Settings, __version__
from occystrap_core.files import Patience
from occystrap_registry.transport.http_library import httpx
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.http_transport import Transport
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.proxies import Proxy, proxy_for

_CONNECTING = 20.0


class Connection:
    """A connection to one host, for one request at a time; opened by the first, and again after it broke."""

    def __init__(self, url: httpx.URL, named: bool, context: ssl.SSLContext | None, settings: Settings,
                 http2: bool = False) -> None:
        """`named`: the user named the host of `url`, not a server. `context` is for TLS. `http2`: speak HTTP/2 if the
        server offers it.

        Raises UsageError for an unreadable proxy.
        """
        timeout = httpx.Timeout(settings.timeout, connect=min(_CONNECTING, settings.timeout))
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # the next request may have another login
        patience = Patience(settings.timeout, settings.least_rate)
        proxy = proxy_for(url)
        self._network = Network(url.raw_host.decode('ascii'), named, patience, proxy)
        proxy_context = _context_for_proxy(proxy, settings) if proxy and proxy.scheme == 'https' else None
        self._client = httpx.Client(
            transport=Transport(context, self._network, proxy_context, http2), timeout=timeout, follow_redirects=False,
            cookies=no_cookies, trust_env=False,
            headers={'User-Agent': f'occystrap/{__version__}', 'Accept-Encoding': 'identity'})

    def send(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Iterable[memoryview] | None,
             ) -> httpx.Response:
        """Return the answer, its body unread; raises httpx.TransportError."""
        request = self._client.build_request(method, url, headers=headers, content=cast(Iterable[bytes] | None, body))
        self._network.begin_request()
        try:
            response = self._client.send(request, stream=True)
        except httpx.RemoteProtocolError as error:
            if 'in location header' in str(error):  # of httpx itself, which looks at redirects that it shall not follow
                raise ServiceError(f'{url.netloc.decode()} redirects to a malformed URL') from None
            raise
        try:
            stream_of(response).begin_body(_body_length(response))
        except httpx.TransportError:
            response.close()
            raise
        return response

    def interrupt(self) -> None:
        """Break the connection, which wakes up a thread that waits for an answer."""
        self._network.interrupt()

    def close(self) -> None:
        """Close an idle connection."""
        self._client.close()


def _context_for_proxy(proxy: Proxy, settings: Settings) -> ssl.SSLContext:
    from occystrap_registry.transport.tls import context_for  # late, as few runs have one that speaks TLS
    return context_for(proxy.netloc, False, False, settings)


def stream_of(response: httpx.Response) -> Stream:
    """Return the connection of an answer."""
    return cast(Stream, response.extensions['network_stream'])


def _body_length(response: httpx.Response) -> int | None:
    """Return the size of an answer's body in bytes (RFC 9112, 6.3), None where its end is marked otherwise."""
    if response.request.method == 'HEAD' or response.status_code in (204, 304):
        return 0
    length = response.headers.get('content-length', '')
    return int(length) if length.isdecimal() and 'transfer-encoding' not in response.headers else None


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

    def take(self, url: httpx.URL, named: bool, context: ssl.SSLContext | None, http2: bool = False) -> Connection:
        """Return a connection to the host of `url`, an idle one if there is any with the same `context`.

        A `context` is for connections with HTTP/2 or for those without.
        """
        with self._lock:
            if idle := self._idle[_key(url, named, context)]:
                return idle.pop()
        return Connection(url, named, context, self._settings, http2)

    def give_back(self, url: httpx.URL, named: bool, context: ssl.SSLContext | None, connection: Connection) -> None:
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


def _key(url: httpx.URL, named: bool, context: ssl.SSLContext | None) -> object:
    return url.scheme, url.netloc, named, id(context)  # contexts are made once a run and kept as long
