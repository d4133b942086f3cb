"""Requests to one registry, with authorization, retries, and errors that say what to do."""
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, quote
from weakref import WeakMethod

from occystrap_core import AccessDenied, ServiceError, ServiceUnavailable, Settings
from occystrap_registry.auth.authentication import TOKEN_EXPIRED, Authentication, may_require_authorization
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.answers import SMALL, Answer, Reply
from occystrap_registry.transport.connections import LOG, Body, Connections, find_scheme, follow, origin
from occystrap_registry.transport.endpoint import Endpoint
from occystrap_registry.transport.proxies import note_of_proxy
from occystrap_registry.transport.retries import (
    Attempts, RedirectedNowhere, note_of_limit, unsuccessful, whole_reply,
)
from occystrap_registry.transport.transport_errors import TransportError
from occystrap_registry.transport.url import URL, parse_url

_PING = '/v2/'
_STALE = (400, 401, 403, 404, 410)
"""Answers of a storage to a signed URL that is no longer valid, or for a blob that has not appeared there yet."""
_STORED = ('/blobs/', '/manifests/')
"""Registries redirect these requests to a storage, others to web sites."""


class InternalServerError(ServiceUnavailable):
    """The registry answered 500 to all attempts of one request."""


class RegistryClient:
    """A client for the registry of an address; used by any number of threads."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self.address, self.settings = address, settings
        self.authentication = Authentication(address, WeakMethod(self._ask_for_token), settings)
        self._connections = Connections(address, settings)
        self.settle_seconds = 0.0
        """Seconds until the registry knew the blobs of a manifest that it finally accepted."""
        self._others: dict[str, RegistryClient] = {}
        """Clients for registries to which this one redirects, by host."""
        self.endpoint = Endpoint.of(address.host, address.insecure, settings)

    def connect(self, scope: str) -> ServiceError | None:
        """Request `/v2/`, which may require a login; return the error if the answer is not a registry's.

        It may still be a registry: some have a web page there, or nothing. Raises ServiceUnavailable, AccessDenied.
        """
        if self.endpoint.odd is None:
            self.endpoint.odd = self._oddity(scope)
            if not self.authentication.was_challenged:
                self.endpoint.challenges = self.endpoint.challenges or ()
        self.endpoint.answered = self.endpoint.answered or not self.endpoint.odd
        return self.endpoint.odd

    def _oddity(self, scope: str) -> ServiceError | None:
        what = f'{self.address.host} does not answer as a registry'
        try:
            reply = self.fetch('GET', _PING, scope)
        except AccessDenied as error:
            if self.endpoint.challenges is None or self.endpoint.challenges:
                raise
            return error  # it offers no way to log in, and may not require one elsewhere
        except ServiceUnavailable as error:
            if not isinstance(error, RedirectedNowhere):
                raise
            return ServiceUnavailable(f'{what}: {error}')
        except ServiceError as error:
            return ServiceError(f'{what}: {error}')
        return None if self._is_good(reply) or reply.status in (401, 403) else self.failure(reply, what)

    def _is_good(self, reply: Reply) -> bool:
        from occystrap_registry.distribution.error_answers import is_base
        return reply.status == 200 and is_base(reply)

    def connect_once(self, scope: str) -> ServiceError | None:
        """Call `connect`, unless the host has answered any client of this run."""
        self.find_base()  # its request may already get a registry's answer
        return None if self.endpoint.answered else self.connect(scope)

    def fetch(self, method: str, target: str, scope: str, headers: Mapping[str, str] | None = None,
              body: Body | None = None, cap: int = SMALL) -> Reply:
        """Return the answer, with any status, and up to `cap` bytes of its body.

        `target` is a path or a complete URL; `body` makes the body again for each attempt. Raises ServiceUnavailable
        after the last attempt, AccessDenied if credentials are missing or refused.
        """
        return whole_reply(self.attempts(), lambda: self.once(method, target, scope, headers, body), cap,
                           self.endpoint.crowd)

    def once(self, method: str, target: str, scope: str, headers: Mapping[str, str] | None = None,
             body: Body | None = None) -> Answer:
        """Return the answer to one attempt, with unread body; after a 401 or 403 it is repeated with authorization.

        Raises TransportError if no answer comes, AccessDenied if credentials are missing or refused.
        """
        base, refused = self.find_base(), set[int]()
        url, is_fresh = follow(base, target), False
        while True:
            sent = self.authentication.header(scope)
            answer = self._send(method, url, headers, body, sent)
            if method == 'GET' and not is_fresh and any(each in target for each in _STORED) and self._is_stale(answer):
                answer.close()
                is_fresh = True
                self.settings.requests.count(retries=1)
                continue
            if answer.status in refused or not may_require_authorization(answer, sent):
                return answer
            if origin(answer.url) != origin(base):
                return self._elsewhere(answer, method, scope, headers)
            refused.add(answer.status)
            if not self._authorized(answer, scope, base, sent):
                return answer
            with answer:
                answer.whole()

    def _is_stale(self, answer: Answer) -> bool:
        """Return whether a storage refused the signed URL to which the registry redirected, so that a new one may help.
        """
        return (answer.status in _STALE and 'www-authenticate' not in answer.headers and self._is_storage(answer.url))

    def _is_storage(self, url: URL) -> bool:
        return origin(url) != origin(self.find_base()) and not url.path.startswith('/v2/')

    def _authorized(self, answer: Answer, scope: str, base: URL, sent: str | None) -> bool:
        """Answer the challenge in an answer, or else that of `/v2/`; return whether to send the request again.

        Some registries only send a challenge at `/v2/`, and 404 or a bare 401 elsewhere. Raises AccessDenied for a 401
        or 403 if there is no way to log in.
        """
        own = answer.headers.get_list('www-authenticate')
        if not own and sent and answer.status in TOKEN_EXPIRED:
            return self.authentication.renew(scope, sent)
        challenges = own or self._challenges(base)
        if answer.status != 401 and not challenges:
            return False
        try:
            self.authentication.answer(scope, base, challenges, sent, not own or answer.url.path == _PING)
        except AccessDenied:
            if answer.status == 404:
                return False
            answer.close()
            raise
        return True

    def _challenges(self, base: URL) -> Sequence[str]:
        """Return the challenges of `/v2/` to an anonymous request, which is made once a run."""
        if self.endpoint.challenges is None:
            url = follow(base, _PING)
            try:
                self._note_challenges(whole_reply(self.attempts(), lambda: self._send('GET', url, None, None, None)))
            except ServiceError:
                self.endpoint.challenges = ()  # it redirects to a URL that does not exist
        return self.endpoint.challenges or ()

    def _note_challenges(self, reply: Reply) -> None:
        self.endpoint.challenges = reply.headers.get_list('www-authenticate') if reply.status in (401, 403) else ()

    def _elsewhere(self, answer: Answer, method: str, scope: str, headers: Mapping[str, str] | None) -> Answer:
        """Return the answer of another registry, to which this one redirects, with a token that it issues to anonymous
        clients.

        It gets no credentials. If it issues no such token, the present answer is returned.
        """
        host, path = answer.url.netloc, answer.url.target
        if self.address.is_redirected or method not in ('GET', 'HEAD') or not path.startswith('/v2/'):
            return answer
        if host not in self._others:
            address = self.address._replace(host=host, insecure=False, credentials=None, is_redirected=True)
            self._others.setdefault(host, RegistryClient(address, self.settings))
        try:
            answered = self._others[host].once(method, path, scope, headers)
        except AccessDenied:
            return answer
        except BaseException:
            answer.close()
            raise
        answer.close()
        return answered

    def dismiss(self, target: str, scope: str) -> None:
        """Delete an upload; a failure is ignored, as the registry will expire it."""
        url, authorization = follow(self.find_base(), target), self.authentication.header(scope)
        try:
            with self._send('DELETE', url, None, None, authorization) as answer:
                answer.whole()
        except TransportError as error:
            LOG.debug('DELETE %s: %s', url.path, error)

    def attempts(self) -> Attempts:
        """Return the count of attempts for one operation."""
        return Attempts(self.settings, self.address.host)

    def failure(self, reply: Reply, what: str) -> ServiceError:
        """Return the error for a reply with a bad status; `what` says what failed."""
        from occystrap_registry.distribution.error_answers import error_text
        signed = [value for _, value in parse_qsl(reply.url.query)] if self._is_storage(reply.url) else []
        message = self.authentication.redact(error_text(reply), [*signed, *map(quote, signed)])
        text = f'{what}: {message} (HTTP {reply.status})' if message else f'{what} (HTTP {reply.status})'
        text += note_of_limit(reply)
        if reply.url.scheme == 'http':  # a proxy may have answered instead of the host
            text += note_of_proxy(reply.url)
        if reply.status in _STALE and self._is_storage(reply.url):
            return ServiceError(f'{text}; {reply.url.netloc}, the storage that {self.address.host} redirects '
                                'to, refuses the address that it got: it may have expired; check the clocks')
        if reply.status in (401, 403):
            return AccessDenied(f'{text}; {self.authentication.advice()}')
        if reply.status == 500:
            return InternalServerError(text)
        return unsuccessful(reply, text)

    def close(self) -> None:
        """Interrupt current requests and refuse further ones; idle connections are kept for the run."""
        self._connections.close()
        for other in list(self._others.values()):
            other.close()

    def find_base(self) -> URL:
        """Return the registry's URL; the first call in a run finds its scheme by a request. Raises ServiceError."""
        with self.endpoint.lock:
            if self.endpoint.base is None:
                scheme, reply = find_scheme(self.address, self._connections)
                if reply:
                    self._note_challenges(reply)
                    self.endpoint.answered = self.endpoint.answered or self._is_good(reply)
                self.endpoint.base = parse_url(f'{scheme}://{self.address.host}/')
            return self.endpoint.base

    def _send(self, method: str, url: URL, headers: Mapping[str, str] | None, body: Body | None,
              authorization: str | None) -> Answer:
        """Send, with the authorization only if the URL has the registry's own origin."""
        is_own = origin(url) == origin(self.find_base())
        return self._connections.send(method, url, headers or {}, body, authorization if is_own else None, moves=True)

    def _ask_for_token(self, url: URL, headers: dict[str, str], form: bytes | None = None) -> Reply:
        attempts = Attempts(self.settings, url.netloc)
        headers = {**headers, 'Content-Length': str(len(form))} if form else dict(headers)
        authorization = headers.pop('Authorization', None)
        method, body = ('POST', lambda: [memoryview(form)]) if form else ('GET', None)
        try:
            return whole_reply(attempts, lambda: self._connections.send(method, url, headers, body, authorization))
        except ServiceUnavailable as error:
            if url.netloc.lower() == self.address.host:
                raise
            text = str(error).removesuffix(f' ({self.address.host} redirects there)')
            raise ServiceUnavailable(f'{text} ({self.address.host} names it as its token server)') from None
