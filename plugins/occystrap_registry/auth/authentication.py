"""Authorization of requests: Basic, or Bearer tokens that are fetched once per scope and run, and renewed in time."""
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from occystrap_core import AccessDenied, ServiceError, Settings
from occystrap_registry.auth.grants import ANY, Grant, Grants, TokenSource
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.answers import Answer
from occystrap_registry.transport.url import URL

if TYPE_CHECKING:
    from weakref import WeakMethod

    from occystrap_registry.auth.tokens import Ask
    from occystrap_registry.credentials.logins import Login

_SHORT = 4
_YOUNG = 5.0
"""A token is assumed valid for at least this many seconds."""
_PAUSE = 30.0
"""Seconds before a failed token request is repeated, unless the registry sends a challenge."""
TOKEN_EXPIRED = (400, 403)
"""Status codes with which some registries answer to an expired token: ECR Public's and GitHub's."""


class Authentication:
    """The Authorization headers for one registry, by scope."""

    def __init__(self, address: Address, ask: 'WeakMethod[Ask]', settings: Settings) -> None:
        """`ask` is a method of the client that has this: a strong reference would keep both until garbage is collected.
        """
        self._address, self._ask, self._settings = address, ask, settings
        key = 'registry tokens', address.host, address.insecure, address.is_redirected
        self._grants = settings.shared.lasting.get(key, Grants)

    @property
    def was_challenged(self) -> bool:
        """Whether the registry has required authorization so far."""
        return bool(self._grants)

    def header(self, scope: str) -> str | None:
        """Return the Authorization for a scope, None before the first challenge.

        After the first token its source is known, and further tokens are fetched without a challenge.
        """
        if not self._grants:
            return None
        login = self._login()
        held = self._held(login, scope)
        return held or self._renewed(login, scope)

    def answer(self, scope: str, registry: URL, headers: Sequence[str], refused: str | None,
               of_ping: bool = False) -> None:
        """Obtain an Authorization that answers the challenges in the WWW-Authenticate `headers` of `registry`.

        `refused` is the Authorization that was refused; `of_ping` means that the headers are from `/v2/`, where the
        scope of some registries is a placeholder. Of several threads only the first requests a token. Raises
        AccessDenied if no challenge can be answered.
        """
        from occystrap_registry.auth.challenges import parse_challenges  # late: many registries need no authorization
        from occystrap_registry.auth.tokens import has_good_realm
        login = self._login()
        with self._grants.alone(login, scope):
            if self._held(login, scope) not in (None, refused):
                return
            if login and login.is_registry_token:
                return self._use_registry_token(login, refused)
            challenges = parse_challenges(headers)
            bearers = [each for each in challenges if each.scheme == 'bearer' and 'realm' in each.parameters]
            if bearers:
                good = next((each for each in bearers if has_good_realm(each, registry)), bearers[0])
                source = TokenSource(good, registry)
                return self._get_token(login, scope, source.bare if of_ping else source)
            basic = not challenges or any(each.scheme == 'basic' for each in challenges)  # some 401s name no scheme
            if refused or not basic or not login or login.is_identity:
                raise AccessDenied(self.advice())
            self._grants.keep(login, ANY, Grant(login.basic))

    def renew(self, scope: str, refused: str) -> bool:
        """Replace a token that may have expired unnoticed; return whether there is another one.

        Some registries then answer 400 or 403, without a challenge.
        """
        login = self._login()
        with self._grants.alone(login, scope):
            source, grant = self._grants.source(login, scope), self._grants.find(login, scope)
            if not source or not grant or time.time() - grant.since < _YOUNG:
                return bool(grant and grant.header not in ('', refused))
            try:
                self._get_token(login, scope, source)
            except (AccessDenied, ServiceError):
                return False
        return True

    def advice(self) -> str:
        """Return the message for denied access, with what to do."""
        host = self._address.host
        if self._login():
            return f'{host} refuses access with the given credentials: check them and their permissions'
        return (f'{host} requires credentials: log in with occystrap login (or docker login, podman login), '
                'set OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD, or give ?username=')

    def hint(self) -> str:
        """Return what to append to `it does not exist`, since clients without a login may get that answer; empty with a
        login."""
        return '' if self._login() else ', or it needs a login (occystrap login)'

    def redact(self, text: str, others: Sequence[str] = ()) -> str:
        """Return `text`, which a server sent, without the secrets that were sent to that server, and without `others`.
        """
        for secret in sorted([*self._grants.secrets(), *others], key=len, reverse=True):
            text = text.replace(secret, '…') if len(secret) >= _SHORT else text
        return text

    def _login(self) -> 'Login | None':
        if self._address.is_redirected:
            return None
        from occystrap_registry.credentials.credential_search import find_login  # late: many need no login
        from occystrap_registry.credentials.logins import Login
        given = self._address.credentials
        repository = self._address.reference.repository
        return Login(*given) if given else find_login(self._address.host, repository, self._settings)

    def _use_registry_token(self, login: 'Login', refused: str | None) -> None:
        header = f'Bearer {login.secret}'
        if refused == header:
            raise AccessDenied(self.advice())
        self._grants.keep(login, ANY, Grant(header))

    def _held(self, login: 'Login | None', scope: str) -> str | None:
        grant = self._grants.find(login, scope)
        return grant.header or None if grant and grant.holds else None

    def _renewed(self, login: 'Login | None', scope: str) -> str | None:
        """Return a token from the known source; None if that fails, and the registry's challenge must be answered."""
        with self._grants.alone(login, scope):
            source, grant = self._grants.source(login, scope), self._grants.find(login, scope)
            if source and not (grant and grant.holds):
                try:
                    self._get_token(login, scope, source)
                except ServiceError:
                    self._grants.keep(login, scope, Grant('', time.monotonic() + _PAUSE))
        return self._held(login, scope)

    def _get_token(self, login: 'Login | None', scope: str, source: TokenSource) -> None:
        from occystrap_registry.auth.tokens import fetch_token
        ask = self._ask()
        assert ask
        token = fetch_token(ask, source.challenge, scope, source.registry, login, self.advice)
        grant = Grant(f'Bearer {token.text}', time.monotonic() + token.lifetime, time.time())
        self._grants.keep(login, scope, grant, source)


def may_require_authorization(answer: Answer, sent: str | None) -> bool:
    """Return whether authorization may help: none was sent, or its scope is too small (RFC 6750, 3.1).

    A 404 may hide what exists from clients without a login; a 400 or 403 without a challenge may mean an expired token.
    """
    challenge = answer.headers.get('www-authenticate', '')
    if answer.status in TOKEN_EXPIRED and not challenge:
        return bool(sent and sent.startswith('Bearer '))
    if answer.status == 403:
        return bool(challenge) and (sent is None or 'insufficient_scope' in challenge)
    return answer.status == 401 or (answer.status == 404 and sent is None)
