"""The routes of the registry (distribution-spec, Endpoints)."""
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from occystrap_registry.server import upload_requests
from occystrap_registry.server.access import Access, Rules
from occystrap_registry.server.admission import Admission
from occystrap_registry.server.callers import Callers
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.exchange import ExchangeLog, Observer
from occystrap_registry.server.handlers import Handlers
from occystrap_registry.server.problems import Problem, answer_http_error, answer_problem, answer_system_error
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.upload_files import Uploads
from occystrap_registry.server.warm_answers import WarmPaths


async def version(request: Request) -> Response:
    """GET /v2/: confirm that this is a registry."""
    return JSONResponse({}, headers={'Docker-Distribution-Api-Version': 'registry/2.0'})


async def unknown(request: Request) -> Response:
    """Any other path: raise Problem 404."""
    raise Problem(404, 'UNSUPPORTED', 'there is no such endpoint')


def registry_application(contents: Contents, uploads: Uploads | None, callers: Callers, access: Access, rules: Rules,
                         observer: Observer | None = None, logs: Sequence[ExchangeLog] = (),
                         public: Sequence[Route] = (), routes: Sequence[Route] = (), recent: RecentImages | None = None,
                         handlers: Handlers = Handlers(),
                         ) -> ASGIApp:
    """Return the ASGI application that serves the contents, read-only without `uploads`, and additional `routes`.

    Those need the right to read, except `public` ones. Pushed images are recorded in `recent`.
    """
    blob, upload = '/v2/{name:path}/blobs/{digest}', '/v2/{name:path}/blobs/uploads/{upload}'
    manifest = '/v2/{name:path}/manifests/{reference}'
    application = Starlette(routes=[
        # The most frequent come first, and HEAD before GET, which would match it.
        Route(blob, handlers.head_blob, methods=['HEAD']),
        Route(blob, handlers.get_blob, methods=['GET']),
        Route(manifest, handlers.get_manifest, methods=['GET', 'HEAD']),
        Route(upload, upload_requests.continue_upload, methods=['PATCH']),
        Route(upload, upload_requests.finish_upload, methods=['PUT']),
        Route('/v2/{name:path}/blobs/uploads/', upload_requests.start_upload, methods=['POST']),
        Route(manifest, handlers.put_manifest, methods=['PUT']),
        Route('/v2/', version, methods=['GET']),
        Route('/v2', version, methods=['GET']),
        Route('/v2/_catalog', handlers.catalog, methods=['GET']),
        Route('/v2/{name:path}/tags/list', handlers.list_tags, methods=['GET']),
        Route('/v2/{name:path}/referrers/{digest}', handlers.list_referrers, methods=['GET']),
        Route('/v2/{name:path}/blobs/uploads', upload_requests.start_upload, methods=['POST']),
        Route(upload, upload_requests.upload_status, methods=['GET']),
        Route(upload, upload_requests.cancel_upload, methods=['DELETE']),
        Route(blob, handlers.delete_blob, methods=['DELETE']),
        Route(manifest, handlers.delete_manifest, methods=['DELETE']),
        *access.routes(), *public, *routes,
        Route('/{rest:path}', unknown),
    ], exception_handlers={Problem: answer_problem, HTTPException: answer_http_error, OSError: answer_system_error})
    application.state.storage = contents
    application.state.uploads = uploads
    application.state.callers = callers
    application.state.rules = rules
    application.state.warm = WarmPaths()
    application.state.recent = recent or RecentImages()
    return Admission(application, contents, rules, access, callers, observer, logs, [each.path for each in public])
