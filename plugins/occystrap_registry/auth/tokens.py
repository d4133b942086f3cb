"""Bearer tokens (distribution, Token Authentication Specification): the request, trusted realms, the answer."""
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from occystrap_core import AccessDenied, InvalidImage, ServiceError
from occystrap_core.oci import parse_json
from occystrap_registry.auth.challenges import Challenge
from occystrap_registry.credentials.logins import Login
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.hosts import is_loopback, is_metadata, is_possible_port
from occystrap_registry.transport.retries import unsuccessful
from occystrap_registry.transport.url import URL, MalformedURL, parse_url

_LIFETIME = 60.0
"""Lifetime of a token in seconds if its server does not give one."""
_CLIENT = 'occystrap'


class Ask(Protocol):
    """Sends a GET, or with a form a POST, with these headers and without any authorization of its own."""

    def __call__(self, url: URL, headers: dict[str, str], form: bytes | None = None) -> Reply:
        """Return the answer."""


class Token(NamedTuple):
    """A token and the seconds for which to use it, somewhat less than its lifetime."""

    text: str
    lifetime: float


def fetch_token(ask: Ask, challenge: Challenge, scope: str, registry: URL, login: Login | None,
                advice: Callable[[], str]) -> Token:
    """Return a new token for `scope` and the scope of the challenge, anonymous if the realm may not get the login.

    Raises AccessDenied, ServiceError.
    """
    url = token_url(challenge, scope, registry)
    login = login if login and may_get_login(url, registry) else None
    if login and login.is_identity:
        reply = _post(ask, challenge, scope, {'grant_type': 'refresh_token', 'refresh_token': login.secret})
    else:
        reply = ask(url, {'Authorization': login.basic} if login else {})
    if login and not login.is_identity and reply.status in (404, 405):
        reply = _post(ask, challenge, scope,
                      {'grant_type': 'password', 'username': login.user, 'password': login.secret})
    return read_token(reply, registry.netloc, advice)


def token_url(challenge: Challenge, scope: str, registry: URL) -> URL:
    """Return the URL for requesting a token for `scope`; raises AccessDenied for a realm that is refused.

    A scope in the challenge that `scope` does not include is requested as well.
    """
    text = urlencode([*_service(challenge), *(('scope', each) for each in _requested(challenge, scope))])
    realm = challenge.parameters['realm']
    try:
        url = parse_url(f'{realm}{"&" if "?" in realm else "?"}{text}' if text else realm)
        is_possible = is_possible_port(url.port)
    except MalformedURL:
        is_possible = False
    if not is_possible:
        raise AccessDenied(f'{registry.netloc} names a malformed URL as its token server')
    _refuse_bad_realm(url, registry)
    return url


def has_good_realm(challenge: Challenge, registry: URL) -> bool:
    """Return whether tokens may be requested from the realm in the challenge."""
    try:
        return bool(token_url(challenge, '', registry))
    except AccessDenied:
        return False


def may_get_login(url: URL, registry: URL) -> bool:
    """Return whether a realm may get credentials for `registry`: by https, on the same host, or on this machine."""
    return url.scheme == 'https' or url.netloc == registry.netloc or is_loopback(url.host)


def read_token(reply: Reply, host: str, advice: Callable[[], str]) -> Token:
    """Return the token in a reply; raises AccessDenied, with `advice`, or ServiceError when there is none."""
    if reply.status in (401, 403) or (reply.status == 400 and b'invalid_grant' in reply.body):  # RFC 6749, 5.2
        raise AccessDenied(advice())
    if reply.status not in (200, 201):
        raise unsuccessful(reply, f'{reply.url.netloc} does not give a token for {host} (HTTP {reply.status})')
    try:
        document: Any = parse_json(reply.body, 'the answer')
        text = document.get('token') or document.get('access_token')
        text = text.strip() if isinstance(text, str) else None
        lifetime, age = _lifetime(document.get('expires_in')), _age(document.get('issued_at'), reply)
    except (InvalidImage, AttributeError):
        text, lifetime, age = None, _LIFETIME, 0.0
    if not text or not text.isascii() or not text.isprintable():
        raise ServiceError(f'{reply.url.netloc} answered without a token for {host}')
    return Token(text, max(5.0, (lifetime - age if age < lifetime else lifetime) * 0.8))


def _lifetime(seconds: object) -> float:
    """Return the lifetime in seconds that a server gives, the default for an invalid one."""
    try:
        return float(seconds) if isinstance(seconds, int | float | str) and seconds else _LIFETIME
    except (ValueError, OverflowError):
        return _LIFETIME


def _age(issued: object, reply: Reply) -> float:
    """Return how many seconds ago a token was issued, by its server's clock; 0 if unknown."""
    try:
        then = datetime.fromisoformat(issued) if isinstance(issued, str) else None
        now = parsedate_to_datetime(reply.headers['date']) if 'date' in reply.headers else datetime.now(timezone.utc)
        return max(0.0, (now - then).total_seconds()) if then else 0.0
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _post(ask: Ask, challenge: Challenge, scope: str, grant: dict[str, str]) -> Reply:
    """Request a token with OAuth 2 (distribution, Oauth2 Token Authentication); the URL was checked before."""
    scopes = ' '.join(_requested(challenge, scope))
    form = urlencode([*grant.items(), *_service(challenge), ('client_id', _CLIENT),
                      *([('scope', scopes)] if scopes else [])], errors='surrogateescape')
    headers = {'Content-Type': 'application/x-www-form-urlencoded'}
    return ask(parse_url(challenge.parameters['realm']), headers, form.encode())


def _service(challenge: Challenge) -> list[tuple[str, str]]:
    return [('service', challenge.parameters['service'])] if 'service' in challenge.parameters else []


def _requested(challenge: Challenge, scope: str) -> list[str]:
    scopes = scope.split()
    required = challenge.parameters.get('scope', '').split()
    return [*scopes, *(each for each in required if not any(_covers(scope, each) for scope in scopes))]


def _refuse_bad_realm(url: URL, registry: URL) -> None:
    downgraded = registry.scheme == 'https' and url.scheme == 'http' and not is_loopback(url.host)
    forbidden = is_metadata(url.host) and url.host != registry.host
    if url.scheme not in ('http', 'https') or not url.host or downgraded or forbidden:
        realm = f'{url.scheme}://{url.host}{url.path}' if url.host or url.scheme else url.path  # no login, no query
        raise AccessDenied(f'{registry.netloc} names {realm[:200]!r} as its token server, which is refused: '
                           'it must be a URL, with https if the registry uses https')


def _covers(scope: str, other: str) -> bool:
    """Return whether `scope` permits everything that `other` does (distribution, Token Scope Documentation)."""
    name, _, actions = scope.rpartition(':')
    other_name, _, other_actions = other.rpartition(':')
    return name == other_name and set(other_actions.split(',')) <= set(actions.split(','))
