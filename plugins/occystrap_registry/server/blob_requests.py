"""Requests for blobs (distribution-spec, Pulling blobs and Content management)."""
import os
import re
from collections.abc import AsyncIterator
from typing import BinaryIO

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from occystrap_core.oci import Digest
from occystrap_registry.server import request_names
from occystrap_registry.server.callers import Callers
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage

_LARGEST, _SMALLEST = 1 << 20, 32 << 10
"""Sizes of reads, in bytes: one large read costs half of four small ones, so they are large while few answers are sent.
"""
_BUDGET = 48 << 20
"""Memory for one piece of each answer, in bytes; connections may hold another piece each."""
_RANGE = re.compile(r'bytes=([0-9]{0,18})-([0-9]{0,18})')


def head_blob(request: Request) -> Response:
    """HEAD: return the size of a blob, or of one range of it."""
    storage, repository, digest = _addressed(request)
    status, headers, _, _ = _answer(request, digest, storage.blob_size(repository, digest))
    return Response(status_code=status, headers=headers)


def get_blob(request: Request) -> Response:
    """GET: return a blob, or one range of it (RFC 9110, 14.2)."""
    storage, repository, digest = _addressed(request)
    file = storage.open_blob(repository, digest)
    try:
        status, headers, first, count = _answer(request, digest, os.fstat(file.fileno()).st_size)
        file.seek(first)
        if count <= _SMALLEST:  # such as a config: read at once
            with file:
                return Response(file.read(count), status, headers)
    except BaseException:
        file.close()
        raise
    return StreamingResponse(_content(file, count, request.app.state.callers), status, headers)


def delete_blob(request: Request) -> Response:
    """DELETE: remove the blob from the repository."""
    storage: Storage = request.app.state.storage
    storage.delete_blob(*_addressed(request)[1:])
    return Response(status_code=202)


def _addressed(request: Request) -> tuple[Contents, str, Digest]:
    repository = request_names.repository(request)
    return request.app.state.storage, repository, request_names.digest(request.path_params['digest'])


def _answer(request: Request, digest: Digest, size: int) -> tuple[int, dict[str, str], int, int]:
    """Return status and headers for a blob of this size in bytes, and offset and number of the bytes to send."""
    first, last = _requested_range(request.headers.get('range'), size)
    headers = {'Docker-Content-Digest': digest, 'Content-Type': 'application/octet-stream', 'Accept-Ranges': 'bytes',
               'Content-Length': str(last - first + 1)}
    partial = 'range' in request.headers and (first, last) != (0, size - 1)
    if partial:
        headers['Content-Range'] = f'bytes {first}-{last}/{size}'
    return 206 if partial else 200, headers, first, last + 1 - first


def _requested_range(text: str | None, size: int) -> tuple[int, int]:
    """Return first and last byte, by default of the whole blob; raises Problem 416 for a range outside; ignores
    malformed ones."""
    found = _RANGE.fullmatch(text) if text else None
    if not found or not (found[1] or found[2]):
        return 0, size - 1
    first, last = (int(found[1]), min(int(found[2] or size), size - 1)) if found[1] else (
        max(0, size - int(found[2])), size - 1)
    if first >= size or first > last:
        raise Problem(416, 'SIZE_INVALID', f'the blob has {size} bytes', {'Content-Range': f'bytes */{size}'})
    return first, last


def piece_size(callers: Callers) -> int:
    """Return how many bytes to read at once; each connection may be sending an answer."""
    return max(_SMALLEST, min(_LARGEST, _BUDGET // max(1, callers.count)))


async def _content(file: BinaryIO, count: int, callers: Callers) -> AsyncIterator[bytes]:
    try:
        while count:
            data = await anyio.to_thread.run_sync(file.read, min(count, piece_size(callers)))
            if not data:
                return
            count -= len(data)
            yield data
            data = b''
    finally:
        file.close()
