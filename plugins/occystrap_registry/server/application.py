"""The routes of the registry (distribution-spec, Endpoints)."""
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from occystrap_registry.server import blob_requests, manifest_requests, upload_requests
from occystrap_registry.server.admission import Admission
from occystrap_registry.server.callers import Callers
from occystrap_registry.server.problems import Problem, answer_http_error, answer_problem
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.upload_files import Uploads

Observer = Callable[[str, str, int], None]
"""Called for each answered request with method, path and status."""


async def version(request: Request) -> Response:
    """GET /v2/: show that this is a registry."""
    return JSONResponse({}, headers={'Docker-Distribution-Api-Version': 'registry/2.0'})


async def unknown(request: Request) -> Response:
    """Any other path: raise Problem 404."""
    raise Problem(404, 'UNSUPPORTED', 'there is no such endpoint')


def registry_application(storage: Storage, callers: Callers, observer: Observer | None = None, password: str = '',
                         ) -> ASGIApp:
    """Return the ASGI application that serves a storage, protected by `password` if there is one."""
    blob, upload = '/v2/{name:path}/blobs/{digest}', '/v2/{name:path}/blobs/uploads/{upload}'
    manifest = '/v2/{name:path}/manifests/{reference}'
    application = Starlette(routes=[
        Route('/v2/', version, methods=['GET']),
        Route('/v2', version, methods=['GET']),
        Route('/v2/_catalog', manifest_requests.catalog, methods=['GET']),
        Route('/v2/{name:path}/tags/list', manifest_requests.list_tags, methods=['GET']),
        Route('/v2/{name:path}/referrers/{digest}', manifest_requests.list_referrers, methods=['GET']),
        Route('/v2/{name:path}/blobs/uploads/', upload_requests.start_upload, methods=['POST']),
        Route('/v2/{name:path}/blobs/uploads', upload_requests.start_upload, methods=['POST']),
        Route(upload, upload_requests.upload_status, methods=['GET']),
        Route(upload, upload_requests.continue_upload, methods=['PATCH']),
        Route(upload, upload_requests.finish_upload, methods=['PUT']),
        Route(upload, upload_requests.cancel_upload, methods=['DELETE']),
        Route(blob, blob_requests.head_blob, methods=['HEAD']),
        Route(blob, blob_requests.get_blob, methods=['GET']),
        Route(blob, blob_requests.delete_blob, methods=['DELETE']),
        Route(manifest, manifest_requests.get_manifest, methods=['GET', 'HEAD']),
        Route(manifest, manifest_requests.put_manifest, methods=['PUT']),
        Route(manifest, manifest_requests.delete_manifest, methods=['DELETE']),
        Route('/{rest:path}', unknown),
    ], exception_handlers={Problem: answer_problem, HTTPException: answer_http_error})
    application.state.storage = storage
    application.state.uploads = Uploads(storage)
    admission = Admission(application, storage, password, callers)
    return _observed(admission, observer) if observer else admission


def _observed(application: ASGIApp, observer: Observer) -> ASGIApp:
    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message['type'] == 'http.response.start':
                observer(scope['method'], scope['path'], message['status'])
            await send(message)
        await application(scope, receive, sending)
    return observed
