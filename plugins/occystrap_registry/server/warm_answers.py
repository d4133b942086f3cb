"""Answering on the event loop what was answered a moment ago: its files are in memory, and a thread would cost more."""
import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from occystrap_registry.server.contents import Contents

_WARM = 30.0
"""Seconds after which the files of an answer may have left the system's memory."""
_MOST = 10_000
SMALL = 64 << 10
"""Bytes that the loop may read for an answer."""


class WarmPaths:
    """What was answered of late, by the name of the handler and the path; for one event loop."""

    def __init__(self) -> None:
        self._answered: dict[str, float] = {}

    def __contains__(self, path: str) -> bool:
        return time.monotonic() - self._answered.get(path, float('-inf')) < _WARM

    def add(self, path: str) -> None:
        """Note an answer; of too many the oldest are forgotten."""
        self._answered.pop(path, None)
        self._answered[path] = time.monotonic()
        if len(self._answered) > _MOST:
            del self._answered[next(iter(self._answered))]


def quick(handler: Callable[[Request], Response], most: float = float('inf'),
          ) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that does as another one: on the loop if what that reads is warm, else on a thread.

    `most` is the limit of an answer in bytes where the handler reads all of it; what is streamed is read by threads.
    """
    async def answered(request: Request) -> Response:
        warm: WarmPaths = request.app.state.warm
        asked = f'{handler.__name__} {request.scope["path"]}'  # a size has not read the bytes
        is_whole = 'range' not in request.headers  # nor has one range those of another
        if asked in warm and is_whole:
            storage: Contents = request.app.state.storage
            with storage.at_hand() as is_at_hand:
                if is_at_hand:
                    return handler(request)
        response = await run_in_threadpool(handler, request)
        if is_whole and int(response.headers['content-length']) <= most:
            warm.add(asked)
        return response
    return answered
