"""Admission: a request is refused by its head, before its body is read; sending an answer has a deadline."""
import asyncio
from collections.abc import Collection, Sequence
from functools import partial

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from occystrap_registry.server.access import OPEN_PATHS, Access, Refusal, Rules, header
from occystrap_registry.server.callers import Callers
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.exchange import Exchange, ExchangeLog, Observer, TooSlow
from occystrap_registry.server.problems import Problem

_STOPPING = Refusal(503, 'UNAVAILABLE', 'the server has stopped before this was done: try again', {
    'Retry-After': '10', 'Connection': 'close'})


class Admission:
    """Admits or refuses requests to the registry.

    Rules and access must admit a request, and the contents its path, since repositories may have secret names. Only
    `/v2/` itself needs no secret name.
    """

    def __init__(self, registry: ASGIApp, contents: Contents, rules: Rules, access: Access, callers: Callers,
                 observer: Observer | None = None, logs: Sequence[ExchangeLog] = (), public: Collection[str] = (),
                 ) -> None:
        """Requests for paths that are `public` need no access."""
        self._registry, self._contents, self._callers = registry, contents, callers
        self._rules, self._access, self._public = rules, access, public
        self._observer, self._logs = observer, logs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        peer = tuple(scope['client'])
        exchange = Exchange(scope, receive, send, self._observer, partial(self._callers.is_behind, peer))
        self._callers.asks(peer)
        try:
            refusal = await self._refusal(scope)
            if refusal is None and scope['path'] not in (*OPEN_PATHS, *self._public):
                self._callers.admit(peer)
            await (_answer(scope, refusal) if refusal else self._registry)(scope, exchange.receive, exchange.send)
        except TooSlow:
            self._callers.hang_up(peer)
        except asyncio.CancelledError:  # the time for ending requests is over
            if exchange.status:
                raise
            await _answer(scope, _STOPPING)(scope, exchange.receive, exchange.send)
        finally:
            self._callers.answered(peer)
            for log in self._logs:
                log.add(exchange)

    async def _refusal(self, scope: Scope) -> Refusal | None:
        if header(scope, b'content-length') and header(scope, b'transfer-encoding'):  # RFC 9112, 6.1: smuggling
            return Refusal(400, 'UNSUPPORTED', 'Content-Length and Transfer-Encoding exclude each other')
        if scope['path'] in self._public:
            return None
        try:
            if refusal := await self._access.refusal(scope):
                return refusal
        except Problem as problem:
            return Refusal(problem.status, problem.code, problem.message, problem.headers)
        if scope['path'] not in OPEN_PATHS and not self._contents.admits(scope['path']):
            return Refusal(404, 'NAME_UNKNOWN', 'there is no such repository, or access is denied')
        return self._rules.refusal(scope)


def _answer(scope: Scope, refusal: Refusal) -> Response:
    """Return the answer; it closes the connection if the request has a body, which is not read."""
    has_body = header(scope, b'content-length') not in (b'', b'0') or header(scope, b'transfer-encoding')
    headers = {**refusal.headers, **({'Connection': 'close'} if has_body else {})}
    errors = [{'code': refusal.code, 'message': refusal.message, 'detail': {}}]
    if scope['method'] == 'HEAD':
        return Response(status_code=refusal.status, headers=headers)
    return JSONResponse({'errors': errors}, refusal.status, headers)
