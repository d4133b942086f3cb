"""Answers requests on the event loop if the same was answered recently: its files are cached, and a thread would cost
more."""
import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from occystrap_registry.server.contents import Contents

_WARM = 30.0
"""Seconds after which the files of an answer may have left the page cache."""
_MOST = 10_000
SMALL = 64 << 10
"""The largest file that the event loop may read for an answer, in bytes."""


class WarmPaths:
    """Recent answers, by the handler's name and the path; for one event loop."""

    def __init__(self) -> None:
        self._answered: dict[str, float] = {}

    def __contains__(self, path: str) -> bool:
        return time.monotonic() - self._answered.get(path, float('-inf')) < _WARM

    def add(self, path: str) -> None:
        """Record an answer; if there are too many, the oldest are forgotten."""
        self._answered.pop(path, None)
        self._answered[path] = time.monotonic()
        if len(self._answered) > _MOST:
            del self._answered[next(iter(self._answered))]


def quick(handler: Callable[[Request], Response], most: float = float('inf'),
          ) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that runs another one on the event loop if what it reads is cached, else on a thread.

    `most` is the size limit in bytes for an answer that the handler reads completely; streamed ones are read by
    threads.
    """
    async def answered(request: Request) -> Response:
        warm: WarmPaths = request.app.state.warm
        asked = f'{handler.__name__} {request.scope["path"]}'  # answering a HEAD has not read the bytes
        is_whole = 'range' not in request.headers  # one range has not read the others
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
