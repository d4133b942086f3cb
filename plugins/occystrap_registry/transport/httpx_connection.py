"""Requests by httpx, for HTTP/2 and for HTTP proxies, over our own network.

Only public parts of httpx and httpcore are used.
"""
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import h2.exceptions
import httpcore
import httpx

from occystrap_core import ServiceError, __version__
from occystrap_registry.transport.http_connection import IDLE, Connection, Response, body_length
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.httpcore_network import CoreNetwork, stream_of
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.proxies import Proxy
from occystrap_registry.transport.transport_errors import (
    BadAnswer, BrokenConnection, ProxyError, TimedOut, TransportError, Unsendable,
)
from occystrap_registry.transport.url import URL

_ERRORS: Mapping[type[Exception], type[TransportError]] = {
    httpcore.PoolTimeout: TimedOut, httpcore.WriteError: BrokenConnection, httpcore.RemoteProtocolError: BadAnswer,
    httpcore.LocalProtocolError: Unsendable, httpcore.UnsupportedProtocol: Unsendable}
"""Our exceptions for those of httpx; connections raise ours directly."""


class HttpxConnection(Connection):
    """A connection that speaks HTTP/2, or goes through an HTTP proxy."""

    def __init__(self, network: Network, context: ssl.SSLContext | None, seconds: float,
                 proxy_context: ssl.SSLContext | None, http2: bool) -> None:
        """`proxy_context` is for TLS with the proxy itself; `http2`: speak HTTP/2 if the server offers it."""
        self._network = network
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # the next request may have another login
        self._client = httpx.Client(
            transport=_Transport(context, network, proxy_context, http2), follow_redirects=False, cookies=no_cookies,
            timeout=httpx.Timeout(network.patience.seconds, connect=seconds), trust_env=False,
            headers={'User-Agent': f'occystrap/{__version__}', 'Accept-Encoding': 'identity'})

    def send(self, method: str, url: URL, headers: Mapping[str, str], body: Iterable[memoryview] | None) -> Response:
        """Return the answer, its body unread; raises TransportError."""
        try:
            request = self._client.build_request(method, str(url), headers=headers,
                                                 content=cast(Iterable[bytes] | None, body))
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Unsendable(str(error)) from error
        self._network.begin_request()
        try:
            answer = _Answer(self._client.send(request, stream=True))
        except httpx.RemoteProtocolError as error:
            if 'in location header' in str(error):  # httpx parses redirects that it must not follow
                raise ServiceError(f'{url.netloc} redirects to a malformed URL') from None
            raise BadAnswer(str(error)) from error
        try:
            answer.begin()
        except TransportError:
            answer.close()
            raise
        return answer

    def interrupt(self) -> None:
        """Break the connection."""
        self._network.interrupt()

    def close(self) -> None:
        """Close it."""
        self._client.close()


class _Answer(Response):
    def __init__(self, response: httpx.Response) -> None:
        self._response, self.status = response, response.status_code
        self.headers = Headers(response.headers.multi_items())
        self._stream: Stream = stream_of(response.extensions['network_stream'])

    def begin(self) -> None:
        """Prepare the stream for the body."""
        self._stream.begin_body(body_length(self._response.request.method, self.status, self.headers))

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives."""
        for piece in self._response.iter_raw():
            self._stream.gained(len(piece))
            yield piece

    def close(self) -> None:
        self._response.close()


class _Transport(httpx.BaseTransport):
    """Connections to one host, through a proxy if there is one."""

    def __init__(self, context: ssl.SSLContext | None, network: Network, proxy_context: ssl.SSLContext | None,
                 http2: bool) -> None:
        self._proxy = network.proxy
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, keepalive_expiry=IDLE, network_backend=CoreNetwork(network),
            proxy=_http_proxy(network.proxy, proxy_context), http2=http2)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, its body unread; raises TransportError."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(request.method, target, headers=request.headers.raw,
                                 content=cast(Iterable[bytes], request.stream), extensions=request.extensions)
        with _translated():
            try:
                answer = self._pool.handle_request(asked)
            except httpcore.ProxyError as error:
                raise ProxyError(f'{self._proxy and self._proxy.refusal(url.netloc.decode(), str(error))}') from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, self._pool),
                              extensions=answer.extensions)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, pool: httpcore.ConnectionPool) -> None:
        self._answer, self._pool = answer, pool
        self._is_unread = answer.extensions['http_version'] == b'HTTP/2'

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._answer.iter_stream()
        self._is_unread = False

    def close(self) -> None:
        self._answer.close()
        if self._is_unread:
            self._pool.close()  # otherwise the rest of the body would arrive before the next answer


@contextmanager
def _translated() -> Iterator[None]:
    """Raise our exception for one of httpcore; errors of h2 are violations by the server."""
    try:
        yield
    except tuple(_ERRORS) as error:
        is_protocol = isinstance(error.__cause__ or error.__context__, h2.exceptions.H2Error)
        kind: Any = BadAnswer if is_protocol else _ERRORS[type(error)]
        raise kind(str(error)) from error
    except h2.exceptions.H2Error as error:
        raise BadAnswer(f'it violates HTTP/2: {error}') from error


def _http_proxy(proxy: Proxy | None, context: ssl.SSLContext | None) -> httpcore.Proxy | None:
    """Return the proxy for httpcore; a SOCKS proxy is handled by the network."""
    if proxy is None or proxy.is_socks:
        return None
    host = proxy.bare_host.encode('idna')
    return httpcore.Proxy(httpcore.URL(scheme=proxy.scheme, host=host, port=proxy.port, target='/'), proxy.login,
                          ssl_context=context)
