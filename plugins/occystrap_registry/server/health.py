"""What those ask who watch over a registry: whether it lives, and whether it can work."""
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from occystrap_registry.server.contents import Contents

ALIVE, READY = '/healthz', '/readyz'


def alive(request: Request) -> Response:
    """GET /healthz: 200 as long as requests are answered."""
    return JSONResponse({'status': 'ok'})


def ready(request: Request) -> Response:
    """GET /readyz: 200 if the storage can be used, 503 if it is full or gone."""
    contents: Contents = request.app.state.storage
    try:
        contents.try_out()
    except OSError as error:
        return JSONResponse({'status': f'the storage cannot be used: {error.strerror}'}, 503)
    return JSONResponse({'status': 'ok'})


ROUTES = (Route(ALIVE, alive, methods=['GET']), Route(READY, ready, methods=['GET']))
