"""Authorization for requests: Basic, or Bearer tokens fetched once per scope and run, renewed before they run out."""
import time
from collections.abc import Sequence

from occystrap_core import AccessDenied, ServiceError, Settings
from occystrap_registry.auth.challenges import parse_challenges
from occystrap_registry.auth.grants import ANY, Grant, Grants, TokenSource
from occystrap_registry.auth.tokens import Ask, fetch_token
from occystrap_registry.credentials.credential_search import find_login
from occystrap_registry.credentials.logins import Login
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.http_library import httpx

_SHORT = 4
_PAUSE = 30.0
"""Seconds in which a token that could not be had is not asked for again, unless the registry wants one."""


class Authentication:
    """Knows what to send to one registry, for each scope."""

    def __init__(self, address: Address, ask: Ask, settings: Settings) -> None:
        self._address, self._ask, self._settings = address, ask, settings
        self._grants = settings.shared.get(('registry tokens', address.host, address.insecure), Grants)

    @property
    def was_challenged(self) -> bool:
        """Whether the registry wanted authorization for anything so far."""
        return bool(self._grants)

    def header(self, scope: str) -> str | None:
        """Return the Authorization for a scope, None where none was asked for yet.

        Where tokens come from is known after the first; the next are fetched unasked.
        """
        if not self._grants:
            return None
        login = self._login()
        held = self._held(login, scope)
        return held or self._renewed(login, scope)

    def answer(self, scope: str, registry: httpx.URL, headers: Sequence[str], refused: str | None) -> None:
        """Get an Authorization that answers the WWW-Authenticate `headers` of `registry`.

        `refused` is what was sent in vain. Of several threads only the first asks for a token. Raises AccessDenied
        when there is nothing to answer with.
        """
        login = self._login()
        with self._grants.alone(login, scope):
            if self._held(login, scope) not in (None, refused):
                return
            challenges = parse_challenges(headers)
            for challenge in challenges:
                if challenge.scheme == 'bearer' and 'realm' in challenge.parameters:
                    return self._get_token(login, scope, TokenSource(challenge, registry))
            basic = any(each.scheme == 'basic' for each in challenges)
            if refused or not basic or not login or login.is_identity:
                raise AccessDenied(self.advice())
            self._grants.keep(login, ANY, Grant(login.basic))

    def advice(self) -> str:
        """Return what to tell and do when access is denied."""
        host = self._address.host
        if self._login():
            return f'{host} refuses access with the credentials given for it: check them, and what they may do'
        return (f'{host} wants credentials: log in with occystrap login (or docker login, podman login), '
                'set OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD, or give ?username=')

    def redact(self, text: str) -> str:
        """Return `text`, which a server wrote, without the secrets that the server was told."""
        for secret in sorted(self._grants.secrets(), key=len, reverse=True):
            text = text.replace(secret, '…') if len(secret) >= _SHORT else text
        return text

    def _login(self) -> Login | None:
        given = self._address.credentials
        repository = self._address.reference.repository
        return Login(*given) if given else find_login(self._address.host, repository, self._settings)

    def _held(self, login: Login | None, scope: str) -> str | None:
        grant = self._grants.find(login, scope)
        return grant.header or None if grant and grant.holds else None

    def _renewed(self, login: Login | None, scope: str) -> str | None:
        """Return a token from where the last one came from; None where there is none, which a challenge explains."""
        with self._grants.alone(login, scope):
            source, grant = self._grants.source(login, scope), self._grants.find(login, scope)
            if source and not (grant and grant.holds):
                try:
                    self._get_token(login, scope, source)
                except ServiceError:
                    self._grants.keep(login, scope, Grant('', time.monotonic() + _PAUSE))
        return self._held(login, scope)

    def _get_token(self, login: Login | None, scope: str, source: TokenSource) -> None:
        token = fetch_token(self._ask, source.challenge, scope, source.registry, login, self.advice)
        self._grants.keep(login, scope, Grant(f'Bearer {token.text}', time.monotonic() + token.lifetime), source)
