"""Logins from an htpasswd file with bcrypt hashes; where reading needs no login, also as bearer tokens for docker.

Docker's client gives up if it is asked for Basic authorization and has no login. So where reading is permitted without
a login, clients are asked for a token, which anybody can get (distribution's token authentication). A token states its
user and expiry; what the user may do is decided for each request.
"""
import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import bcrypt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from occystrap_core import UsageError
from occystrap_core.files import print_message
from occystrap_registry.server.access import (
    OPEN_PATHS, REGISTRY, Refusal, basic_login, header, is_reading, repository_in,
)
from occystrap_registry.server.problems import Problem

TOKEN_PATH = '/token'
_ENTRY = re.compile(r'([^:]+):(\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})')
_LIFETIME = 300
"""The lifetime of a token in seconds."""
_CHECKS, _WAITING = 2, 32
"""How many passwords are checked at once, and how many may be checked or wait: bcrypt is slow by design."""
_REMEMBERED = 1000
_LONGEST = 72
"""Bytes of a password that bcrypt reads."""
_NAMELESS = ''


class Accounts:
    """The users of a registry."""

    def __init__(self, path: Path, anonymous_pull: bool) -> None:
        """Read an htpasswd file; raises UsageError, which names the line but never its content."""
        self._path, self._stamp, self._hashes = path, _stamp(path), _read(path)
        self._anonymous_pull = anonymous_pull
        self._secret = secrets.token_bytes(32)
        self._good = set[bytes]()
        self._checks, self._waiting = asyncio.Semaphore(_CHECKS), 0
        self._stand_in = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(min(map(_cost, self._hashes.values()))))

    async def refusal(self, scope: Scope) -> Refusal | None:
        """Refuse clients without a login, except for reading where that needs none."""
        if scope['path'] == TOKEN_PATH and self._anonymous_pull:
            return None
        given = header(scope, b'authorization')
        user = await self._user(given) if given else _NAMELESS
        scope['state']['user'] = user or ''
        may_read = self._anonymous_pull and user == _NAMELESS and is_reading(scope) and _is_registry(scope)
        if user or (may_read and (given or scope['path'] not in OPEN_PATHS)):
            return None
        return Refusal(401, 'UNAUTHORIZED', 'log in first: docker login, or occystrap login',
                       {'WWW-Authenticate': self._challenge(scope)})

    def routes(self) -> Sequence[Route]:
        """Return the route for tokens."""
        return [Route(TOKEN_PATH, self.token, methods=['GET'])] if self._anonymous_pull else []

    async def token(self, request: Request) -> Response:
        """GET /token: return a token for a login, or an anonymous one; raises Problem 401."""
        given = header(request.scope, b'authorization')
        user = await self._logged_in(given) if given else _NAMELESS
        if user is None:
            raise Problem(401, 'UNAUTHORIZED', 'wrong user or password')
        claims = base64.urlsafe_b64encode(json.dumps([user, int(time.time()) + _LIFETIME]).encode()).decode()
        token = f'{claims}.{self._seal(claims.encode())}'
        return JSONResponse({'token': token, 'access_token': token, 'expires_in': _LIFETIME})

    async def _user(self, given: bytes) -> str | None:
        """Return the user of a header, empty for an anonymous token, None without a valid login."""
        kind, _, text = given.partition(b' ')
        return self._holder(text.strip()) if kind.lower() == b'bearer' else await self._logged_in(given)

    def _holder(self, token: bytes) -> str | None:
        claims, _, seal = token.partition(b'.')
        if not hmac.compare_digest(seal, self._seal(claims).encode()):
            return None
        user, end = json.loads(base64.urlsafe_b64decode(claims))
        return str(user) if end > time.time() and (user == _NAMELESS or user in self._hashes) else None

    async def _logged_in(self, authorization: bytes) -> str | None:
        """Return the user of the login in a header, None if it is wrong; raises Problem 429 if too many are being
        checked."""
        login = basic_login(authorization)
        if login is None:
            return None
        self._reread()
        mark = hmac.digest(self._secret, authorization, 'sha256')
        if mark in self._good:
            return login[0]
        hashed = self._hashes.get(login[0], self._stand_in)  # checking an unknown user takes equally long
        right = await self._is_right(login[1][:_LONGEST], hashed)
        if not right or self._hashes.get(login[0]) != hashed:
            return None
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good.add(mark)
        return login[0]

    def _reread(self) -> None:
        """Read the file again if it has changed; while it is malformed, the previous users remain."""
        if (stamp := _stamp(self._path)) != self._stamp:
            self._stamp = stamp
            self._good.clear()
            try:
                self._hashes = _read(self._path)
            except UsageError as error:
                print_message(f'occystrap: warning: {error}; the previous users remain valid')

    async def _is_right(self, password: bytes, hashed: bytes) -> bool:
        if self._waiting >= _WAITING:
            raise Problem(429, 'TOOMANYREQUESTS', 'too many logins at once', {'Retry-After': '1'})
        self._waiting += 1
        try:
            async with self._checks:
                return await anyio.to_thread.run_sync(_matches, password, hashed)
        finally:
            self._waiting -= 1

    def _seal(self, claims: bytes) -> str:
        return hmac.new(self._secret, b'token ' + claims, hashlib.sha256).hexdigest()

    def _challenge(self, scope: Scope) -> str:
        if not self._anonymous_pull or not _is_registry(scope):
            return 'Basic realm="occystrap"'
        secure = scope['scheme'] == 'https' or header(scope, b'x-forwarded-proto') == b'https'
        host = re.sub(r'[^A-Za-z0-9.:\[\]-]', '', header(scope, b'host').decode('latin-1'))
        realm = f'{"https" if secure else "http"}://{host}{TOKEN_PATH}'
        repository = repository_in(scope['path'])
        scopes = f',scope="repository:{repository}:{_action(scope)}"' if repository.isprintable() and repository else ''
        return f'Bearer realm="{realm}",service="occystrap"{scopes}'


def _is_registry(scope: Scope) -> bool:
    """Return whether a request is for the registry itself, not for the pages of operators."""
    return f'{scope["path"]}/'.startswith(REGISTRY)


def _action(scope: Scope) -> str:
    return 'pull' if is_reading(scope) else 'delete' if scope['method'] == 'DELETE' else 'pull,push'


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # older versions refuse zero bytes
        return False


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return values that change with the content of a file, zeros if there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size


def _cost(hashed: bytes) -> int:
    return int(hashed.split(b'$')[2])


def _read(path: Path) -> dict[str, bytes]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'cannot read {path}: {getattr(error, "strerror", None) or "it is not text"}: give the file '
                         'that htpasswd -B has written') from None
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith('#'):
            continue
        found = _ENTRY.fullmatch(line.strip())
        if not found:
            raise UsageError(f'{path}, line {number}: not a user with a bcrypt password: create it with htpasswd -B')
        hashes[found[1]] = found[2].encode()
    if not hashes:
        raise UsageError(f'{path} has no users: add one with htpasswd -B {path} USER')
    return hashes
