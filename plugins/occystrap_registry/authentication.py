"""Authorization for requests: Basic, or Bearer tokens fetched once per scope and shared by all threads."""
import base64
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import httpx

from occystrap_core import AccessDenied
from occystrap_registry.address import Address
from occystrap_registry.answers import Reply
from occystrap_registry.challenges import Challenge, parse_challenges
from occystrap_registry.credentials import Credentials, stored_credentials
from occystrap_registry.tokens import may_be_told, read_token, token_url

_ANY = ''
_SHORT = 4

Ask = Callable[[httpx.URL, dict[str, str]], Reply]
"""Sends a GET with headers, without any authorization of its own."""


@dataclass(frozen=True)
class _Granted:
    header: str
    until: float


class Authentication:
    """Knows what to send to one registry, for each scope."""

    def __init__(self, address: Address, ask: Ask) -> None:
        self._address, self._ask = address, ask
        self._granted: dict[str, _Granted] = {}
        self._lock = threading.Lock()

    @property
    def was_challenged(self) -> bool:
        """Whether the registry wanted authorization for anything so far."""
        return bool(self._granted)

    def header(self, scope: str) -> str | None:
        """Return the Authorization for a scope, None where none was asked for yet or it has run out."""
        granted = self._granted.get(scope) or self._granted.get(_ANY)
        return granted.header if granted and granted.until > time.monotonic() else None

    def answer(self, scope: str, registry: httpx.URL, headers: Sequence[str], refused: str | None) -> None:
        """Get an Authorization that answers the WWW-Authenticate `headers` of `registry`.

        `refused` is what was sent in vain. Of several threads only the first asks for a token. Raises AccessDenied
        when there is nothing to answer with.
        """
        with self._lock:
            if self.header(scope) not in (None, refused):
                return
            challenges = parse_challenges(headers)
            for challenge in challenges:
                if challenge.scheme == 'bearer' and 'realm' in challenge.parameters:
                    self._granted[scope] = self._token(challenge, scope, registry)
                    return
            if refused or not self._credentials or not any(each.scheme == 'basic' for each in challenges):
                raise AccessDenied(self.advice())
            self._granted[_ANY] = _Granted(_basic(self._credentials), float('inf'))

    def advice(self) -> str:
        """Return what to tell and do when access is denied."""
        host = self._address.host
        if self._credentials:
            return f'{host} refuses access with the credentials given for it: check them, and what they may do'
        return (f'{host} wants credentials: log in with docker login, set OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD, '
                'or give ?username=')

    def redact(self, text: str) -> str:
        """Return `text`, which a server wrote, without the secrets that the server was told."""
        secrets = [granted.header.partition(' ')[2] for granted in list(self._granted.values())]
        if secrets and self._credentials:
            secrets += [self._credentials[1], _basic(self._credentials).partition(' ')[2]]
        for secret in secrets:
            text = text.replace(secret, '…') if len(secret) >= _SHORT else text
        return text

    @cached_property
    def _credentials(self) -> Credentials | None:
        return self._address.credentials or stored_credentials(self._address.host)

    def _token(self, challenge: Challenge, scope: str, registry: httpx.URL) -> _Granted:
        """Return a fresh token (distribution, Token Authentication Specification)."""
        url = token_url(challenge, scope, registry)
        tell = self._credentials and may_be_told(url, registry)
        reply = self._ask(url, {'Authorization': _basic(self._credentials)} if tell and self._credentials else {})
        token = read_token(reply, self._address.host, self.advice)
        return _Granted(f'Bearer {token.text}', time.monotonic() + token.lifetime)


def _basic(credentials: Credentials) -> str:
    text = ':'.join(credentials).encode(errors='surrogateescape')  # in a URI they may be any bytes
    return f'Basic {base64.b64encode(text).decode()}'
