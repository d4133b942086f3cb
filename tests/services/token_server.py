"""A token server for a registry with bearer authentication.

Follows https://distribution.github.io/distribution/spec/auth/token/ and …/auth/jwt/: anyone gets `pull`, a user with
the right password gets what was asked, a wrong password gets 401.
"""

import base64
import json
import secrets
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.services.certificates import Certificate
from tests.services.ports import LOOPBACK
from tests.services.requirements import require_program
from tests.services.threaded_server import stop

SERVICE = 'test-registry'
ISSUER = 'test-issuer'


@dataclass
class TokenServer:
    """Gives signed tokens; `lifetime` (seconds) may be changed while it runs, `requests` holds each query string.

    The registry accepts a token up to 60 seconds after it expired.
    """

    certificate: Certificate
    users: Mapping[str, str]
    realm: str = ''
    lifetime: int = 300
    requests: list[str] = field(default_factory=list)

    def knows(self, user: str, password: str) -> bool:
        """Whether the password is the user's."""
        return self.users.get(user) == password

    def token(self, scopes: list[str], user: str | None) -> str:
        """A token for what `user` (None: anyone) may have of the scopes (`repository:name:pull,push`)."""
        now = int(time.time())
        claims = {
            'iss': ISSUER, 'aud': SERVICE, 'sub': user or '', 'jti': secrets.token_hex(8),
            'iat': now, 'nbf': now - 10, 'exp': now + self.lifetime,
            'access': [_granted(scope, user) for scope in scopes],
        }
        return self._signed(claims)

    def _signed(self, claims: dict[str, Any]) -> str:
        der = ssl.PEM_cert_to_DER_cert(self.certificate.certificate.read_text())
        header = {'typ': 'JWT', 'alg': 'RS256', 'x5c': [base64.b64encode(der).decode()]}
        unsigned = f'{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}'
        command = [require_program('openssl', 'openssl'), 'dgst', '-sha256', '-sign', str(self.certificate.key)]
        signature = subprocess.run(command, input=unsigned.encode(), check=True, capture_output=True).stdout
        return f'{unsigned}.{_base64url(signature)}'


@contextmanager
def token_server(certificate: Certificate, users: Mapping[str, str]) -> Iterator[TokenServer]:
    """Serves tokens on a free port, from a thread of this process."""
    tokens = TokenServer(certificate, users)
    handler = type('Handler', (_Handler,), {'tokens': tokens})
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        tokens.realm = f'http://{LOOPBACK}:{server.server_port}/token'
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield tokens
        finally:
            stop(server)
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    tokens: TokenServer

    def do_GET(self) -> None:
        query = urlsplit(self.path).query
        self.tokens.requests.append(query)
        credentials = self._credentials()
        if credentials and not self.tokens.knows(*credentials):
            return self._answer(401, {'errors': [{'code': 'UNAUTHORIZED', 'message': 'wrong password'}]})
        scopes = [scope for value in parse_qs(query).get('scope', []) for scope in value.split()]
        token = self.tokens.token(scopes, credentials[0] if credentials else None)
        self._answer(200, {'token': token, 'access_token': token, 'expires_in': self.tokens.lifetime})

    def do_POST(self) -> None:
        # A server without the OAuth 2 variant answers so; clients then ask with GET.
        self._answer(404, {'errors': []})

    def _credentials(self) -> tuple[str, str] | None:
        scheme, _, encoded = self.headers.get('Authorization', '').partition(' ')
        if scheme.lower() != 'basic':
            return None
        user, _, password = base64.b64decode(encoded).decode().partition(':')
        return user, password

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the tests read `TokenServer.requests`."""


def _granted(scope: str, user: str | None) -> dict[str, Any]:
    kind, _, rest = scope.partition(':')
    name, _, actions = rest.rpartition(':')
    requested = actions.split(',')
    granted = requested if user else [each for each in requested if each == 'pull']
    return {'type': kind, 'name': name, 'actions': granted}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()
