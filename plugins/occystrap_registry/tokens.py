"""Bearer tokens (distribution, Token Authentication Specification): where to ask, whom to trust, what comes back."""
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from occystrap_core import AccessDenied, ServiceError, ServiceUnavailable
from occystrap_registry.answers import Reply
from occystrap_registry.challenges import Challenge
from occystrap_registry.hosts import is_loopback, is_metadata

_LIFETIME = 60.0
"""Seconds that a token lives when its server does not say."""


@dataclass(frozen=True)
class Token:
    """A token and the seconds for which it should be used, a little less than it lives."""

    text: str
    lifetime: float


def token_url(challenge: Challenge, scope: str, registry: httpx.URL) -> httpx.URL:
    """Return where to ask for a token for `scope`; raises AccessDenied for a realm that nobody should be sent to.

    What the challenge asks for beyond `scope` is asked for as well.
    """
    wanted = [scope, *(each for each in challenge.parameters.get('scope', '').split() if not _covers(scope, each))]
    query = [('service', challenge.parameters['service'])] if 'service' in challenge.parameters else []
    text = urlencode([*query, *(('scope', each) for each in wanted)])
    realm = challenge.parameters['realm']
    try:
        url = httpx.URL(f'{realm}{"&" if "?" in realm else "?"}{text}')
    except (httpx.InvalidURL, ValueError):
        raise AccessDenied(f'{registry.host} sends for tokens to something that is no URL') from None
    _refuse_bad_realm(url, registry)
    return url


def may_be_told(url: httpx.URL, registry: httpx.URL) -> bool:
    """Tell whether credentials for `registry` may go to a realm: encrypted, back to itself, or on this machine."""
    return url.scheme == 'https' or url.netloc == registry.netloc or is_loopback(url.host)


def read_token(reply: Reply, host: str, advice: Callable[[], str]) -> Token:
    """Return the token in a reply; raises AccessDenied, with `advice`, or ServiceError when there is none."""
    if reply.status in (401, 403):
        raise AccessDenied(advice())
    if reply.status != 200:
        kind = ServiceUnavailable if reply.status >= 500 or reply.status == 429 else ServiceError
        raise kind(f'{reply.url.host} gives no token for {host} (HTTP {reply.status})')
    try:
        document: Any = json.loads(reply.body)
        text = document.get('token') or document.get('access_token')
        lifetime = float(document.get('expires_in') or _LIFETIME)
    except (ValueError, AttributeError, TypeError, RecursionError):
        text, lifetime = None, _LIFETIME
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise ServiceError(f'{reply.url.host} answered without a token for {host}')
    return Token(text, max(5.0, lifetime * 0.8))


def _refuse_bad_realm(url: httpx.URL, registry: httpx.URL) -> None:
    downgraded = registry.scheme == 'https' and url.scheme == 'http' and not is_loopback(url.host)
    forbidden = is_metadata(url.host) and url.host != registry.host
    if url.scheme not in ('http', 'https') or not url.host or downgraded or forbidden:
        raise AccessDenied(f'{registry.host} sends for tokens to {url.scheme}://{url.host}, which is refused')


def _covers(scope: str, other: str) -> bool:
    """Tell whether `scope` allows all that `other` does (distribution, Token Scope Documentation)."""
    name, _, actions = scope.rpartition(':')
    other_name, _, other_actions = other.rpartition(':')
    return name == other_name and set(other_actions.split(',')) <= set(actions.split(','))
