"""Requests for blobs (distribution-spec, Pulling blobs and Content management)."""
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from occystrap_registry.server import request_names
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage

_CHUNK = 1 << 20
_RANGE = re.compile(r'bytes=([0-9]{0,18})-([0-9]{0,18})')


async def get_blob(request: Request) -> Response:
    """GET and HEAD: return a blob, or one range of it (RFC 9110, 14.2)."""
    storage: Storage = request.app.state.storage
    digest = request_names.digest(request.path_params['digest'])
    repository = request_names.repository_name(request.path_params['name'])
    size = await anyio.to_thread.run_sync(storage.blob_size, repository, digest)
    first, last = _requested_range(request.headers.get('range'), size)
    headers = {'Docker-Content-Digest': digest, 'Content-Type': 'application/octet-stream', 'Accept-Ranges': 'bytes',
               'Content-Length': str(last - first + 1)}
    partial = 'range' in request.headers and (first, last) != (0, size - 1)
    if partial:
        headers['Content-Range'] = f'bytes {first}-{last}/{size}'
    status = 206 if partial else 200
    if request.method == 'HEAD':
        return Response(status_code=status, headers=headers)
    path = storage.blob_of(repository, digest)
    return StreamingResponse(_content(path, first, last + 1 - first), status, headers)


async def delete_blob(request: Request) -> Response:
    """DELETE: remove the blob from the repository."""
    storage: Storage = request.app.state.storage
    storage.delete_blob(request_names.repository_name(request.path_params['name']),
                        request_names.digest(request.path_params['digest']))
    return Response(status_code=202)


def _requested_range(text: str | None, size: int) -> tuple[int, int]:
    """Return first and last byte, by default all; raises Problem 416 for a range outside; ignores malformed ones."""
    found = _RANGE.fullmatch(text) if text else None
    if not found or not (found[1] or found[2]):
        return 0, size - 1
    first, last = (int(found[1]), min(int(found[2] or size), size - 1)) if found[1] else (
        max(0, size - int(found[2])), size - 1)
    if first >= size or first > last:
        raise Problem(416, 'SIZE_INVALID', f'the blob has {size} bytes', {'Content-Range': f'bytes */{size}'})
    return first, last


async def _content(path: Path, first: int, count: int) -> AsyncIterator[bytes]:
    file: BinaryIO = await anyio.to_thread.run_sync(lambda: open(path, 'rb', buffering=0))
    try:
        file.seek(first)
        while count:
            data = await anyio.to_thread.run_sync(file.read, min(count, _CHUNK))
            if not data:
                return
            count -= len(data)
            yield data
    finally:
        file.close()
