"""httpx upon httpcore, both by their public parts, with a network of our own below them."""
import ssl
from collections.abc import Iterable, Iterator
from typing import cast
from urllib.request import getproxies, proxy_bypass

import httpx

from occystrap_core import UsageError
from occystrap_registry.transport.hosts import is_loopback
from occystrap_registry.transport.http_library import httpcore
from occystrap_registry.transport.network import Network

_IDLE = 30.0
"""Seconds after which an idle connection is not trusted any more; servers and what is before them close at 60."""
_NAMES = ('ConnectError', 'ConnectTimeout', 'LocalProtocolError', 'PoolTimeout', 'ProxyError', 'ReadError',
          'ReadTimeout', 'RemoteProtocolError', 'UnsupportedProtocol', 'WriteError', 'WriteTimeout')
_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES}


class Transport(httpx.BaseTransport):
    """Connections to the host of one URL, by a proxy where the environment names one."""

    def __init__(self, url: httpx.URL, context: ssl.SSLContext, network: Network) -> None:
        """Raises UsageError for a proxy of a kind that is not known."""
        self._pool = httpcore.ConnectionPool(ssl_context=context, keepalive_expiry=_IDLE, network_backend=network,
                                             proxy=_proxy(url))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, its body unread; raises httpx.TransportError."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        asked = httpcore.Request(request.method, target, headers=request.headers.raw,
                                 content=cast(Iterable[bytes], request.stream), extensions=request.extensions)
        try:
            answer = self._pool.handle_request(asked)
        except tuple(_ERRORS) as error:
            raise _ERRORS[type(error)](str(error)) from error
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer),
                              extensions=answer.extensions)

    def close(self) -> None:
        """Close what is idle."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_stream()
        except tuple(_ERRORS) as error:
            raise _ERRORS[type(error)](str(error)) from error

    def close(self) -> None:
        self._answer.close()


def _proxy(url: httpx.URL) -> httpcore.Proxy | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY mean for a URL; none is for loopback."""
    known = {} if is_loopback(url.host) else getproxies()
    named = known.get(url.scheme) or known.get('all')
    if not named or proxy_bypass(url.host):
        return None
    given = httpx.URL(named if '://' in named else f'http://{named}')
    if given.scheme not in ('http', 'https') or not given.host:
        raise UsageError(f'{given.scheme}://{given.host} cannot be used as a proxy: name one of http or https in '
                         f'{url.scheme.upper()}_PROXY')
    login = (given.username.encode(), given.password.encode()) if given.userinfo else None
    place = httpcore.URL(scheme=given.raw_scheme, host=given.raw_host, port=given.port, target='/')
    return httpcore.Proxy(place, login)
