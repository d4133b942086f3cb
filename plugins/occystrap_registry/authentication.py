"""Authorization for requests: Basic, or Bearer tokens fetched once per scope and shared by all threads."""
import base64
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from occystrap_core import AccessDenied, Settings
from occystrap_registry.address import is_link_local, is_loopback
from occystrap_registry.challenges import Challenge, parse_challenges
from occystrap_registry.credentials import Credentials, find_credentials

if TYPE_CHECKING:
    import httpx

_LIFETIME = 60.0
"""Seconds that a token lives when its server does not say (distribution's token specification)."""
_CAP = 1 << 20


@dataclass(frozen=True)
class _Granted:
    header: str
    until: float


class Authentication:
    """Knows what to send to one registry, for each scope."""

    def __init__(self, host: str, settings: Settings) -> None:
        self._host = host
        self._credentials = find_credentials(host, settings)
        self._granted: dict[str, _Granted] = {}
        self._lock = threading.Lock()

    def header(self, scope: str) -> str | None:
        """Return the Authorization for a scope, None where none was asked for yet or it has run out."""
        granted = self._granted.get(scope)
        return granted.header if granted and granted.until > time.monotonic() else None

    def answer(self, scope: str, response: 'httpx.Response', client: 'httpx.Client', refused: str | None) -> None:
        """Get an Authorization that answers a 401; `refused` is what was sent in vain.

        Raises AccessDenied when there is none. Of several threads only the first asks for a token.
        """
        with self._lock:
            if self.header(scope) not in (None, refused):
                return
            challenges = parse_challenges(response.headers.get_list('www-authenticate'))
            for challenge in challenges:
                if challenge.scheme == 'bearer' and 'realm' in challenge.parameters:
                    self._granted[scope] = self._token(challenge, scope, client)
                    return
            if refused or self._credentials is None or not any(each.scheme == 'basic' for each in challenges):
                raise AccessDenied(self._refusal(bool(refused)))
            self._granted[scope] = _Granted(_basic(self._credentials), float('inf'))

    def _refusal(self, tried: bool) -> str:
        if tried:
            return f'{self._host} refuses the credentials given for it'
        return (f'{self._host} wants credentials: log in with docker login, set OCCYSTRAP_USERNAME and '
                'OCCYSTRAP_PASSWORD, or give ?username= and ?password=')

    def _token(self, challenge: Challenge, scope: str, client: 'httpx.Client') -> _Granted:
        """Return a fresh token (distribution, Token Authentication Specification)."""
        realm = challenge.parameters['realm']
        asked = challenge.parameters.get('scope') or scope
        parameters = {'service': challenge.parameters.get('service', ''), 'scope': asked}
        headers = {'Authorization': _basic(self._credentials)} if self._may_tell(realm) and self._credentials else {}
        response = client.get(realm, params={k: v for k, v in parameters.items() if v}, headers=headers)
        if response.status_code in (401, 403):
            raise AccessDenied(self._refusal(self._credentials is not None))
        if response.status_code != 200 or len(response.content) > _CAP:
            raise AccessDenied(f'{urlsplit(realm).netloc} gave no token for {self._host}: {response.status_code}')
        return _read_token(response, self._host)

    def _may_tell(self, realm: str) -> bool:
        """Tell whether credentials may go to `realm`; raises AccessDenied for a realm nobody should be sent to."""
        parts = urlsplit(realm)
        if parts.scheme not in ('http', 'https') or is_link_local(parts.netloc):
            raise AccessDenied(f'{self._host} sends for tokens to {parts.netloc or realm[:60]!r}, which is refused')
        return parts.scheme == 'https' or parts.netloc == self._host or is_loopback(parts.netloc)


def _basic(credentials: Credentials | None) -> str:
    assert credentials
    return f'Basic {base64.b64encode(":".join(credentials).encode()).decode()}'


def _read_token(response: 'httpx.Response', host: str) -> _Granted:
    try:
        document: Any = response.json()
        token = document.get('token') or document.get('access_token')
        lifetime = float(document.get('expires_in') or _LIFETIME)
    except (ValueError, AttributeError, TypeError):
        token, lifetime = None, _LIFETIME
    if not isinstance(token, str) or not token.isprintable():
        raise AccessDenied(f'the token server of {host} gave an answer without a token')
    return _Granted(f'Bearer {token}', time.monotonic() + max(5.0, lifetime * 0.8))
