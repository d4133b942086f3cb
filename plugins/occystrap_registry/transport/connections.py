"""Sending requests to a registry and following redirects; connection, trust and forbidden targets are decided for each.
"""
import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from occystrap_core import Cancelled, ServiceError, ServiceUnavailable, Settings
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.answers import Answer, Reply
from occystrap_registry.transport.connection_pool import ConnectionPool
from occystrap_registry.transport.endpoint import keep_pace
from occystrap_registry.transport.hosts import is_loopback, is_metadata, is_possible_port
from occystrap_registry.transport.http_connection import Connection
from occystrap_registry.transport.http_stream import Unexpected
from occystrap_registry.transport.network import RefusedAddress
from occystrap_registry.transport.silence import Silence
from occystrap_registry.transport.transport_errors import TimedOut, TransportError
from occystrap_registry.transport.url import URL, MalformedURL, parse_url

LOG = logging.getLogger('occystrap.registry')
_REDIRECTS = 5
_REDIRECT_BODY = 64 << 10
_MOVED = (301, 302, 307, 308)
"""After these redirects the same request is sent again (RFC 9110, 15.4); after 303 only for GET and HEAD."""

Body = Callable[[], Iterable[memoryview]]
"""Makes the body of a request again for each attempt."""


class Connections:
    """The requests of one registry client, sent over the run's connections."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self._address, self._settings = address, settings
        self._in_use: set[Connection] = set()
        self._lock = threading.Lock()
        self._closed = False

    def send(self, method: str, url: URL, headers: Mapping[str, str], body: Body | None = None,
             authorization: str | None = None, moves: bool = False) -> Answer:
        """Return the answer to one request, following redirects of GET and HEAD; only `url` gets `authorization`.

        With `moves`, redirects of other methods are followed too, with the same method and body. Raises TransportError,
        and ServiceError for a forbidden redirect.
        """
        reads = method in ('GET', 'HEAD')
        target = url
        for _ in range(_REDIRECTS):
            allowed = {'Authorization': authorization} if authorization and origin(target) == origin(url) else {}
            answer = self._send_once(method, target, {**headers, **allowed}, body)
            location = answer.headers.get('location', '')
            if not (reads and answer.status in (*_MOVED, 303) or moves and location and answer.status in _MOVED):
                return answer
            with answer:
                answer.whole(_REDIRECT_BODY)  # so that the connection can be used again
            target = follow(target, location)
        raise ServiceError(f'{url.netloc} redirects more than {_REDIRECTS} times')

    def close(self) -> None:
        """Interrupt threads that wait for an answer, and refuse further requests."""
        with self._lock:
            self._closed = True
            for connection in self._in_use:
                connection.interrupt()

    def _send_once(self, method: str, url: URL, headers: Mapping[str, str], body: Body | None) -> Answer:
        host = url.netloc
        http2 = self._address.http2 and body is None  # httpcore does not notice a refusal while it sends a body
        silence = Silence.of(host, self._settings)
        silence.require_attempt()
        context = self._context(url, http2) if url.scheme == 'https' else None
        pool = ConnectionPool.of(self._settings)
        keep_pace(host, self._settings)
        named = self._is_named(url)
        connection = pool.take(url, named, context, http2)

        def give_back() -> None:
            with self._lock:
                self._in_use.discard(connection)
            pool.give_back(url, named, context, connection)
        try:
            self._use(connection)
            self._settings.requests.count(requests=1)
            self._settings.requests.asked(host)
            response = connection.send(method, url, headers, body() if body else None)
        except RefusedAddress as error:
            give_back()
            raise self._refusal(url, str(error)) from None
        except UnicodeError:
            give_back()
            by_redirect = '' if self._is_named(url) else f' ({self._address.host} redirects there)'
            raise ServiceUnavailable(f'{url.host[:80]} is not a valid host name{by_redirect}') from None
        except TransportError as error:
            give_back()
            error.url = url
            raise
        except BaseException:
            give_back()
            raise
        silence.answered(response.status)
        LOG.debug('%s %s://%s%s %s', method, url.scheme, host, url.path, response.status)
        return Answer(response, url, give_back)

    def _context(self, url: URL, http2: bool) -> ssl.SSLContext:
        from occystrap_registry.transport.tls import context_for  # late, as http needs no context
        host = url.netloc.lower()
        return context_for(host, self._is_lenient(url), self._is_insecure(url), self._settings, http2)

    def _use(self, connection: Connection) -> None:
        with self._lock:
            if self._closed:
                raise Cancelled('interrupted')
            self._in_use.add(connection)

    def _refusal(self, url: URL, address: str) -> ServiceError:
        what = f'{url.host} has the address {address}, which clouds use to give secrets to their own machines'
        if self._is_named(url):
            return ServiceError(f'{what}: give that address itself if you mean it')
        return ServiceError(f'{what}: the redirect by {self._address.host} is refused')

    def _is_named(self, url: URL) -> bool:
        """Return whether the user, not the registry, named the host of a URL."""
        return not self._address.is_redirected and url.host == _host_of(self._address.host)

    def _is_lenient(self, url: URL) -> bool:
        """Return whether certificates are not checked: the user's permission only applies to the named host."""
        return is_loopback(url.host) or self._is_insecure(url)

    def _is_insecure(self, url: URL) -> bool:
        return self._address.insecure and url.netloc.lower() == self._address.host


@lru_cache(1024)
def _host_of(netloc: str) -> str:
    return parse_url(f'//{netloc}').host


def follow(origin_url: URL, location: str) -> URL:
    """Return the URL of a Location, absolute or relative; raises ServiceError for a forbidden target.

    A registry behind a TLS proxy may write http for itself: https is kept then.
    """
    host = origin_url.netloc
    try:
        target = origin_url.join(location)
        is_possible = is_possible_port(target.port)
    except MalformedURL:
        is_possible = False
    if not is_possible:
        raise ServiceError(f'{host} redirects to a malformed URL')
    if target.scheme not in ('http', 'https') or not target.host:
        raise ServiceError(f'{host} redirects to a URL that is not http or https')
    if origin_url.scheme == 'https' and target.scheme == 'http' and target.host == origin_url.host and (
            target.port in (None, origin_url.port)):
        target = target._replace(scheme='https', port=origin_url.port)
    if origin_url.scheme == 'https' and target.scheme == 'http':
        raise ServiceError(f'{host} redirects from https to http, which is refused')
    if is_metadata(target.host) and target.host != origin_url.host:
        raise ServiceError(f'{host} redirects to {target.host}, which is refused')
    return target


def origin(url: URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port: URLs with the same origin may get the same secrets (RFC 6454, 4)."""
    return url.scheme, url.host, url.port_or_default


def find_scheme(address: Address, connections: Connections) -> tuple[str, Reply | None]:
    """Return https, unless the registry may be insecure and uses http; on loopback http is tried first.

    The second value is the registry's own answer to a request of `/v2/`, None if there was none.
    """
    if not (address.insecure or address.is_loopback):
        return 'https', None
    first, second = ('http', 'https') if address.is_loopback else ('https', 'http')
    url = parse_url(f'{first}://{address.host}/v2/')
    try:
        with connections.send('GET', url, {}) as answer:
            reply = answer.whole()
    except TransportError as error:
        return (second if _may_speak(second, error, url, address.host) else first), None
    except ServiceError:
        return first, None
    wants_https = first == 'http' and reply.status == 400 and b'HTTPS' in reply.body[:200]
    return second if wants_https else first, reply if origin(reply.url) == origin(url) else None


def _may_speak(second: str, error: TransportError, url: URL, host: str) -> bool:
    """Return whether a host may use the other scheme, given the error for the first."""
    asked = error.url.netloc if error.url else host
    if asked != host or isinstance(error, TimedOut | Unexpected):
        return False  # it redirected to a URL that does not exist, was silent, or violated HTTP
    from occystrap_registry.transport.failures import is_refused
    return url.port is None or not is_refused(error)
