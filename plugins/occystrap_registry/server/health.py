"""Health checks for operators: whether the registry is alive, and whether it can work."""
from functools import cache

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from occystrap_core import ServiceUnavailable
from occystrap_registry.server.contents import Contents

ALIVE, READY = '/healthz', '/readyz'
_AT_ONCE = 4
"""Number of threads for health checks, so that they take none from requests for images."""


async def alive(request: Request) -> Response:
    """GET /healthz: 200 as long as requests are answered."""
    return JSONResponse({'status': 'ok'})


async def ready(request: Request) -> Response:
    """GET /readyz: 200 if the storage can be used; 503 if it is full or gone, or downstream does not answer."""
    contents: Contents = request.app.state.storage
    try:
        await anyio.to_thread.run_sync(contents.try_out, limiter=_threads())
    except OSError as error:
        return JSONResponse({'status': f'the storage cannot be used: {error.strerror}'}, 503)
    except ServiceUnavailable as error:
        return JSONResponse({'status': str(error)}, 503)
    return JSONResponse({'status': 'ok'})


@cache
def _threads() -> 'anyio.CapacityLimiter':
    """Return the limiter for these threads, made at its first use, since its module is imported late."""
    return anyio.CapacityLimiter(_AT_ONCE)


ROUTES = (Route(ALIVE, alive, methods=['GET']), Route(READY, ready, methods=['GET']))
