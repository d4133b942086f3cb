"""The grants of one registry in this run, shared by all threads and images, so that each login is made once."""
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple


if TYPE_CHECKING:
    from occystrap_registry.auth.challenges import Challenge
    from occystrap_registry.credentials.logins import Login
    from occystrap_registry.transport.url import URL

ANY = ''
"""The scope of a grant for everything: Basic authorization has no scopes."""


class Grant(NamedTuple):
    """An Authorization header, the monotonic time until which to use it, and the time when it was given."""

    header: str
    until: float = float('inf')
    since: float = 0.0

    def __repr__(self) -> str:
        """Return the grant without the header, which is a secret."""
        return f'Grant(until={self.until})'

    @property
    def holds(self) -> bool:
        """Whether the grant has not expired."""
        return self.until > time.monotonic()


class TokenSource(NamedTuple):
    """The challenge that a token answered; further tokens are requested from the same realm."""

    challenge: 'Challenge'
    registry: 'URL'

    @property
    def bare(self) -> 'TokenSource':
        """The same source for any scope."""
        kept = {name: value for name, value in self.challenge.parameters.items() if name in ('realm', 'service')}
        return self._replace(challenge=self.challenge._replace(scheme='bearer', parameters=kept))


class Grants:
    """The grants of one registry, by login and scope."""

    def __init__(self) -> None:
        self._granted: 'dict[tuple[Login | None, str], Grant]' = {}
        self._sources: 'dict[tuple[Login | None, str], TokenSource]' = {}
        self._locks: 'defaultdict[tuple[Login | None, str], threading.Lock]' = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether the registry has required authorization so far."""
        return bool(self._granted)

    def find(self, login: 'Login | None', scope: str) -> Grant | None:
        """Return the grant for a scope, or for all scopes; it may have expired."""
        return self._granted.get((login, scope)) or self._granted.get((login, ANY))

    def source(self, login: 'Login | None', scope: str) -> TokenSource | None:
        """Return the source of tokens for a scope, else the source of this login's last token."""
        return self._sources.get((login, scope)) or self._sources.get((login, ANY))

    def keep(self, login: 'Login | None', scope: str, grant: Grant, source: TokenSource | None = None) -> None:
        """Store a grant and its source."""
        with self._lock:
            if source:
                self._sources[login, scope] = source
                self._sources[login, ANY] = source.bare
            self._granted[login, scope] = grant

    def alone(self, login: 'Login | None', scope: str) -> threading.Lock:
        """Return the lock to hold while requesting a token for a scope, so that one thread does it for all."""
        with self._lock:
            return self._locks[login, scope]

    def secrets(self) -> list[str]:
        """Return all granted tokens, and the secrets of the logins."""
        with self._lock:
            logins = {login for login, _ in self._granted if login}
            headers = [grant.header.partition(' ')[2] for grant in self._granted.values()]
        return headers + [secret for login in logins for secret in login.secrets]
