"""Access control: a request is judged by its method, path and Authorization, before its body is read."""
import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from starlette.routing import Route
from starlette.types import Scope

from occystrap_core.oci import compile_pattern

USER = 'occystrap'
"""The user name if there is only one password."""
OPEN_PATHS = ('/v2', '/v2/')
_READING = ('GET', 'HEAD')
REGISTRY = '/v2/'
"""The prefix of the registry's paths; others are for operators."""
_REPOSITORY = re.compile(r'/v2/(.+)/(?:blobs|manifests|tags|referrers)/.*')


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = {}


class Access(Protocol):
    """Admits requests, or refuses them."""

    def routes(self) -> Sequence[Route]:
        """Return the routes that clients need for authorization, such as for tokens."""

    async def refusal(self, scope: Scope) -> Refusal | None:
        """Return why a request is refused; None if it is admitted."""


class OnePassword:
    """Requires one password, for the user `occystrap`, for everything; an empty password admits everybody."""

    def __init__(self, password: str) -> None:
        login = base64.b64encode(f'{USER}:{password}'.encode())
        self._authorization = b'Basic ' + login if password else b''

    def routes(self) -> Sequence[Route]:
        """Return nothing."""
        return ()

    async def refusal(self, scope: Scope) -> Refusal | None:
        """Refuse a wrong password; the comparison takes constant time."""
        if self._authorization and not hmac.compare_digest(header(scope, b'authorization'), self._authorization):
            return Refusal(401, 'UNAUTHORIZED', 'there is no such repository, or access is denied',
                           {'WWW-Authenticate': 'Basic realm="occystrap"'})
        return None


class Rules:
    """Restricts methods and repositories, for all users."""

    def __init__(self, read_only: bool = False, patterns: Sequence[str] = ()) -> None:
        """`patterns` are those of permitted repositories, all if there are none; raises UsageError."""
        self._read_only = read_only
        self._allowed = [compile_pattern(each) for each in patterns]

    def allows(self, repository: str) -> bool:
        """Return whether a repository may be used."""
        return not self._allowed or any(each.fullmatch(repository) for each in self._allowed)

    def refusal(self, scope: Scope) -> Refusal | None:
        """Refuse changes in a read-only registry."""
        if self._read_only and scope['method'] not in _READING:
            return Refusal(405, 'UNSUPPORTED', 'this registry is read-only', {'Allow': 'GET, HEAD'})
        return None


def is_reading(scope: Scope) -> bool:
    """Return whether a request changes nothing."""
    return scope['method'] in _READING


def repository_in(path: str) -> str:
    """Return the repository in a path, empty if there is none."""
    found = _REPOSITORY.fullmatch(path)
    return found[1] if found else ''


def header(scope: Scope, name: bytes) -> bytes:
    """Return the first header with a lower-case name, empty if there is none."""
    return next((value for each, value in scope['headers'] if each == name), b'')


def basic_login(authorization: bytes) -> tuple[str, bytes] | None:
    """Return user and password of a header (RFC 7617), None if it has none."""
    kind, _, text = authorization.partition(b' ')
    if kind.lower() != b'basic':
        return None
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).partition(b':')
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
