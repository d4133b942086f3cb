"""Requests to one registry: authorised, retried, redirected by the rules, with errors that say what to do."""
import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import httpx

from occystrap_core import AccessDenied, ImageNotFound, ServiceError, ServiceUnavailable, Settings
from occystrap_registry.address import Address
from occystrap_registry.authentication import Authentication
from occystrap_registry.retrying import backoff, retry_after

_LOG = logging.getLogger('occystrap.registry')
_REDIRECTS = 5
_ERROR_CAP = 1 << 20
_RETRIED = (429, 500, 502, 503, 504)

Body = Callable[[], Iterable[memoryview]]


class InternalServerError(ServiceUnavailable):
    """The registry answered 500, again and again, to one request."""


class RegistryClient:
    """Speaks to the registry of an address. Each thread has its own connections, which measures faster than sharing."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self.address, self.settings = address, settings
        self._authentication = Authentication(address.host, settings)
        self._threads = threading.local()
        self._clients: list[httpx.Client] = []
        self._lock = threading.Lock()
        self._scheme = ''
        self._context: ssl.SSLContext | None = None

    def connect(self, scope: str) -> None:
        """Find out how the registry is reached and whether it lets us in; raises ServiceError, AccessDenied."""
        with self.request('GET', '/v2/', scope) as response:
            if response.status_code not in (200, 404):
                self.fail(response, f'{self.address.host} does not answer as a registry')

    @contextmanager
    def request(self, method: str, target: str, scope: str, headers: Mapping[str, str] | None = None,
                body: Body | None = None) -> Iterator[httpx.Response]:
        """Give the response, as `open` returns it, and close it afterwards."""
        response = self.open(method, target, scope, headers, body)
        try:
            yield response
        finally:
            response.close()

    def open(self, method: str, target: str, scope: str, headers: Mapping[str, str] | None = None,
             body: Body | None = None) -> httpx.Response:
        """Return the response, whatever its status, its body unread; close it after use.

        `target` is a path or a whole URL; `body` makes the body anew for each attempt. Raises ServiceUnavailable when
        retries are used up, AccessDenied when credentials are wanting.
        """
        url = httpx.URL(self.base).join(target)
        attempt = 0
        while True:
            try:
                response = self._authorised(method, url, scope, dict(headers or {}), body)
            except httpx.TransportError as error:
                self.wait_after(error, attempt)
            else:
                if response.status_code not in _RETRIED or attempt >= self.settings.retries:
                    return response
                self._wait_as_told(response, attempt)
            attempt += 1

    def wait_after(self, error: httpx.TransportError, attempt: int) -> None:
        """Wait before the next attempt, or raise ServiceUnavailable after the last."""
        refused = 'refused' in str(error)
        if attempt >= (min(1, self.settings.retries) if refused else self.settings.retries):
            raise ServiceUnavailable(_explain(error, self.address.host)) from None
        self.settings.requests.count(retries=1)
        self.settings.cancellation.wait(backoff(attempt))

    def fail(self, response: httpx.Response, what: str) -> None:
        """Raise the error that an unwelcome response means; `what` names what was wanted."""
        said = _error_text(response)
        text = f'{what}: {said}' if said else what
        if response.status_code in (401, 403):
            raise AccessDenied(f'{text} (HTTP {response.status_code}): check the credentials for {self.address.host}')
        if response.status_code == 404:
            raise ImageNotFound(text)
        if response.status_code == 500:
            raise InternalServerError(f'{text} (HTTP 500)')
        if response.status_code > 500 or response.status_code == 429:
            raise ServiceUnavailable(f'{text} (HTTP {response.status_code})')
        raise ServiceError(f'{text} (HTTP {response.status_code})')

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    @property
    def base(self) -> str:
        """The registry's address with its scheme, found out once."""
        with self._lock:
            if not self._scheme:
                self._scheme = self._find_scheme()
        return f'{self._scheme}://{self.address.host}'

    def _find_scheme(self) -> str:
        """Return https, unless the registry may be insecure and speaks http; loopback is asked for http first."""
        if not (self.address.insecure or self.address.is_loopback):
            return 'https'
        order = ('http', 'https') if self.address.is_loopback else ('https', 'http')
        try:
            response = self._client.get(f'{order[0]}://{self.address.host}/v2/', follow_redirects=False)
            self.settings.requests.count(requests=1)
        except httpx.TransportError as error:
            return order[0] if 'refused' in str(error) or isinstance(error, httpx.TimeoutException) else order[1]
        wrong = order[0] == 'http' and response.status_code == 400 and b'HTTPS' in response.content[:200]
        return order[1] if wrong else order[0]

    def _authorised(self, method: str, url: httpx.URL, scope: str, headers: dict[str, str], body: Body | None,
                    ) -> httpx.Response:
        """Send, and after a 401 once more with an answer to its challenge."""
        sent = self._authentication.header(scope)
        response = self._redirected(method, url, headers, body, sent)
        if response.status_code == 401 and _origin(response.request.url) == _origin(url):
            response.read()
            self._authentication.answer(scope, response, self._client, sent)
            response = self._redirected(method, url, headers, body, self._authentication.header(scope))
        return response

    def _redirected(self, method: str, url: httpx.URL, headers: dict[str, str], body: Body | None,
                    authorization: str | None) -> httpx.Response:
        """Send and follow redirects; Authorization goes to the registry alone, https is never left for http."""
        target = url
        for _ in range(_REDIRECTS):
            mine = _origin(target) == _origin(httpx.URL(self.base))
            allowed = {'Authorization': authorization} if authorization and mine else {}
            response = self._send(method, target, {**headers, **allowed}, body)
            if not response.has_redirect_location or method not in ('GET', 'HEAD'):
                return response
            response.close()
            following = target.join(response.headers['location'])
            if target.scheme == 'https' and following.scheme != 'https':
                raise ServiceError(f'{target.host} redirects from https to {following.scheme}, which is refused')
            target = following
        raise ServiceError(f'{url.host} redirects more than {_REDIRECTS} times')

    def _send(self, method: str, url: httpx.URL, headers: dict[str, str], body: Body | None) -> httpx.Response:
        content = cast(Iterable[bytes], body()) if body else None
        request = self._client.build_request(method, url, headers=headers, content=content)
        self.settings.requests.count(requests=1)
        response = self._client.send(request, stream=True)
        _LOG.debug('%s %s://%s%s %s', method, url.scheme, url.netloc.decode(), url.path, response.status_code)
        return response

    def _wait_as_told(self, response: httpx.Response, attempt: int) -> None:
        response.close()
        limited = response.status_code == 429
        self.settings.requests.count(retries=not limited, rate_limits=limited)
        self.settings.cancellation.wait(retry_after(response.headers.get('retry-after'), attempt))

    @property
    def _client(self) -> httpx.Client:
        """This thread's client; all share one TLS context, which is dear to make."""
        client = getattr(self._threads, 'client', None)
        if client is None:
            client = self._threads.client = httpx.Client(
                verify=self._tls(), timeout=self.settings.timeout, follow_redirects=False,
                trust_env=not self.address.is_loopback,
                headers={'User-Agent': 'occystrap', 'Accept-Encoding': 'identity'})
            self._clients.append(client)
        return cast(httpx.Client, client)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            if self.address.insecure or self.address.is_loopback:
                self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
            else:
                self._context = ssl.create_default_context()
        return self._context


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {'http': 80, 'https': 443}.get(url.scheme)


def _error_text(response: httpx.Response) -> str:
    """Return what the registry says in the OCI error JSON, shortened."""
    body = b''
    for piece in response.iter_raw():
        body += piece
        if len(body) > _ERROR_CAP:
            return ''
    try:
        import json
        errors = json.loads(body)['errors']
        return '; '.join(str(each.get('message') or each.get('code')) for each in errors)[:200]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ''


def _explain(error: httpx.TransportError, host: str) -> str:
    if 'refused' in str(error):
        return f'connection refused by {host}: is a registry running there?'
    if isinstance(error, httpx.TimeoutException):
        return f'{host} did not answer in time (--timeout)'
    if 'CERTIFICATE' in str(error).upper():
        return f'{host} has a certificate that this machine does not trust: ?insecure=true leaves out the check'
    return f'{host} cannot be reached: {str(error) or type(error).__name__}'
