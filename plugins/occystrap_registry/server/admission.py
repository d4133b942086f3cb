"""Access control: every user of the machine can reach the port, so requests need a secret."""
import base64
import hmac

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from occystrap_registry.server.callers import Callers
from occystrap_registry.server.storage import Storage

USER = 'occystrap'
_OPEN = ('/v2', '/v2/')


class Admission:
    """Admits requests to the registry, or refuses them, by their header.

    They must have the password, if there is one, and a path that the storage admits, whose repositories may have secret
    names. Only `/v2/` needs no secret name.
    """

    def __init__(self, registry: ASGIApp, storage: Storage, password: str, callers: Callers) -> None:
        self._registry, self._storage, self._callers = registry, storage, callers
        login = base64.b64encode(f'{USER}:{password}'.encode())
        self._authorization = b'Basic ' + login if password else b''

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refusal = self._refusal(scope)
        peer = tuple(scope['client'])
        self._callers.asks(peer, let_in=refusal is None and scope['path'] not in _OPEN)
        try:
            await (refusal or self._registry)(scope, receive, send)
        finally:
            self._callers.answered(peer)

    def _refusal(self, scope: Scope) -> Response | None:
        given = next((value for name, value in scope['headers'] if name == b'authorization'), b'')
        if self._authorization and not hmac.compare_digest(given, self._authorization):
            return _refused(401, 'UNAUTHORIZED', {'WWW-Authenticate': 'Basic realm="occystrap"'})
        if scope['path'] not in _OPEN and not self._storage.admits(scope['path']):
            return _refused(404, 'NAME_UNKNOWN')
        return None


def _refused(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that closes the connection: the body of the request is not read."""
    errors = [{'code': code, 'message': 'there is no such repository, or access is denied', 'detail': {}}]
    return JSONResponse({'errors': errors}, status, {**(headers or {}), 'Connection': 'close'})
