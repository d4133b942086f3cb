"""The transport of httpx on httpcore, with our own network below them; only public parts of both are used."""
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from occystrap_registry.transport.http_library import h2, httpcore, httpx
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.proxies import Proxy

_IDLE = 30.0
"""Seconds after which an idle connection is not used any more; servers and proxies close theirs at 60."""
_NAMES = ('ConnectError', 'ConnectTimeout', 'LocalProtocolError', 'PoolTimeout', 'ReadError',
          'ReadTimeout', 'RemoteProtocolError', 'UnsupportedProtocol', 'WriteError', 'WriteTimeout')
_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES}


class Transport(httpx.BaseTransport):
    """Connections to one host, through a proxy if there is one."""

    def __init__(self, context: ssl.SSLContext | None, network: Network, proxy_context: ssl.SSLContext | None = None,
                 http2: bool = False) -> None:
        """`proxy_context` is for TLS with the proxy of `network` itself; `http2` offers HTTP/2 over TLS."""
        self._proxy = network.proxy
        self._pool = httpcore.ConnectionPool(ssl_context=context, keepalive_expiry=_IDLE, network_backend=network,
                                             proxy=_http_proxy(network.proxy, proxy_context), http2=http2)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, its body unread; raises httpx.TransportError."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(request.method, target, headers=request.headers.raw,
                                 content=cast(Iterable[bytes], request.stream), extensions=request.extensions)
        with _translated():
            try:
                answer = self._pool.handle_request(asked)
            except httpcore.ProxyError as error:
                raise httpx.ProxyError(_refusal(self._proxy, url.netloc.decode(), str(error))) from error
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
            self._pool.close()  # the rest of the body would arrive before the next answer


@contextmanager
def _translated() -> Iterator[None]:
    """Raise httpx's exception for one of httpcore; errors of h2 are violations by the server."""
    try:
        yield
    except tuple(_ERRORS) as error:
        is_protocol = isinstance(error.__cause__ or error.__context__, h2.exceptions.H2Error)
        kind = httpx.RemoteProtocolError if is_protocol else _ERRORS[type(error)]
        raise kind(str(error)) from error
    except h2.exceptions.H2Error as error:
        raise httpx.RemoteProtocolError(f'it violates HTTP/2: {error}') from error


def _http_proxy(proxy: Proxy | None, context: ssl.SSLContext | None) -> httpcore.Proxy | None:
    """Return the proxy for httpcore; a SOCKS proxy is handled by the network."""
    if proxy is None or proxy.is_socks:
        return None
    host = proxy.bare_host.encode('idna')
    return httpcore.Proxy(httpcore.URL(scheme=proxy.scheme, host=host, port=proxy.port, target='/'), proxy.login,
                          ssl_context=context)


def _refusal(proxy: Proxy | None, host: str, answer: str) -> str:
    advice = f': put USER:PASSWORD@ into {proxy.variable}' if proxy and answer.startswith('407') else ''
    return f'{proxy} does not connect to {host}: {answer.strip()}{advice}'
