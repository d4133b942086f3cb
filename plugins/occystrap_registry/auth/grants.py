"""What one registry granted in this run: shared by all threads and all images, so that none logs in twice."""
import threading
import time
from collections import defaultdict
from typing import NamedTuple

from occystrap_registry.auth.challenges import Challenge
from occystrap_registry.credentials.logins import Login
from occystrap_registry.transport.http_library import httpx

ANY = ''
"""Stands for every scope: Basic authorization has none."""


class Grant(NamedTuple):
    """An Authorization header, and the monotonic time until which it should be used."""

    header: str
    until: float = float('inf')

    def __repr__(self) -> str:
        """Return the grant without the header, which is a secret."""
        return f'Grant(until={self.until})'

    @property
    def holds(self) -> bool:
        """Whether it has not run out."""
        return self.until > time.monotonic()


class TokenSource(NamedTuple):
    """The challenge of a registry that a token answered: where the next one comes from."""

    challenge: Challenge
    registry: httpx.URL

    @property
    def bare(self) -> 'TokenSource':
        """The same for any scope."""
        kept = {name: value for name, value in self.challenge.parameters.items() if name in ('realm', 'service')}
        return TokenSource(Challenge('bearer', kept), self.registry)


class Grants:
    """The grants of one registry, by login and scope."""

    def __init__(self) -> None:
        self._granted: dict[tuple[Login | None, str], Grant] = {}
        self._sources: dict[tuple[Login | None, str], TokenSource] = {}
        self._locks: defaultdict[tuple[Login | None, str], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether the registry wanted authorization for anything so far."""
        return bool(self._granted)

    def find(self, login: Login | None, scope: str) -> Grant | None:
        """Return what was granted for a scope, though it may have run out, or for all of them."""
        return self._granted.get((login, scope)) or self._granted.get((login, ANY))

    def source(self, login: Login | None, scope: str) -> TokenSource | None:
        """Return where tokens for a scope came from, else where this login's last token did."""
        return self._sources.get((login, scope)) or self._sources.get((login, ANY))

    def keep(self, login: Login | None, scope: str, grant: Grant, source: TokenSource | None = None) -> None:
        """Keep a grant for whoever asks next."""
        with self._lock:
            if source:
                self._sources[login, scope] = source
                self._sources[login, ANY] = source.bare
            self._granted[login, scope] = grant

    def alone(self, login: Login | None, scope: str) -> threading.Lock:
        """Return the lock to hold while asking for a scope, so that one thread asks for all."""
        with self._lock:
            return self._locks[login, scope]

    def secrets(self) -> list[str]:
        """Return all that was granted, and what it was granted for."""
        with self._lock:
            logins = {login for login, _ in self._granted if login}
            headers = [grant.header.partition(' ')[2] for grant in self._granted.values()]
        return headers + [secret for login in logins for secret in login.secrets]
