"""Requests for pushing blobs (distribution-spec, Pushing blobs)."""
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from occystrap_core.oci import SHA256, Digest
from occystrap_registry.server import request_names
from occystrap_registry.server.paced_body import paced_body
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.upload_files import Upload, Uploads

_RANGE = re.compile(r'(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})')


async def start_upload(request: Request) -> Response:
    """POST: start an upload, mount a blob of another repository, or store a complete blob."""
    storage, uploads = _parts(request)
    repository = request_names.repository(request)
    query = request.query_params
    if 'mount' in query:
        digest = request_names.digest(query['mount'])
        origin = request_names.repository(request, query['from']) if 'from' in query else None
        if await anyio.to_thread.run_sync(storage.mount_blob, repository, digest, origin):
            return _created(repository, digest)
    if 'digest' not in query:
        return _accepted(uploads.start(repository, request_names.algorithm(query.get('digest-algorithm', SHA256))))
    expected = request_names.digest(query['digest'])
    upload = uploads.start(repository, expected.algorithm)
    async with _receiving(uploads, upload, keep=False):
        await upload.append(paced_body(request))
    await uploads.finish(upload, expected)
    return _created(repository, expected)


async def continue_upload(request: Request) -> Response:
    """PATCH: append the next chunk, which must begin where the last one ended."""
    uploads, upload = _upload(request)
    end = _announced_end(request, upload)
    async with _receiving(uploads, upload, keep=True):
        await upload.append(paced_body(request))
        _check_end(upload, end)
    return _accepted(upload)


async def finish_upload(request: Request) -> Response:
    """PUT: append the last chunk, if there is one, and check the digest of all bytes."""
    uploads, upload = _upload(request)
    expected = request_names.digest(request.query_params.get('digest'))
    end = _announced_end(request, upload)
    async with _receiving(uploads, upload, keep=False):
        upload.hash_by(expected.algorithm)
        await upload.append(paced_body(request))
        _check_end(upload, end)
    await uploads.finish(upload, expected)
    return _created(upload.repository, expected)


async def upload_status(request: Request) -> Response:
    """GET: return how many bytes of an upload have arrived."""
    return Response(status_code=204, headers=_position(_upload(request)[1]))


async def cancel_upload(request: Request) -> Response:
    """DELETE: cancel an upload."""
    uploads, upload = _upload(request)
    uploads.discard(upload)
    return Response(status_code=204)


@asynccontextmanager
async def _receiving(uploads: Uploads, upload: Upload, keep: bool) -> AsyncIterator[None]:
    """Allow one writing request at a time; after a broken connection discard the upload, unless `keep`."""
    if upload.busy:
        raise Problem(416, 'BLOB_UPLOAD_INVALID', 'another request is writing to this upload')
    upload.busy = True
    try:
        yield
    except ClientDisconnect:
        if not keep:
            uploads.discard(upload)
        raise
    except Problem:
        uploads.discard(upload)
        raise
    except OSError as error:
        uploads.discard(upload)
        raise Problem(507, 'BLOB_UPLOAD_INVALID', f'the blob cannot be written: {error.strerror}') from None
    finally:
        upload.busy = False


def _announced_end(request: Request, upload: Upload) -> int | None:
    """Return the size in bytes that the upload will have according to its Content-Range, if there is one.

    Raises Problem 416 unless the range begins after the bytes so far.
    """
    text = request.headers.get('content-range')
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    if not found or int(found[1]) != upload.size or int(found[2]) < int(found[1]) - 1:
        raise Problem(416, 'BLOB_UPLOAD_INVALID', f'{upload.size} bytes have arrived', _position(upload))
    length = request.headers.get('content-length')
    if length is not None and int(length) != int(found[2]) - int(found[1]) + 1:
        raise Problem(400, 'SIZE_INVALID', 'Content-Range and Content-Length contradict each other')
    return int(found[2]) + 1


def _check_end(upload: Upload, end: int | None) -> None:
    """Raise Problem 400 if a chunk without Content-Length was longer or shorter than its Content-Range."""
    if end is not None and upload.size != end:
        raise Problem(400, 'SIZE_INVALID', f'the chunk ended at {upload.size} bytes, not at {end} as announced')


def _parts(request: Request) -> tuple[Storage, Uploads]:
    return request.app.state.storage, request.app.state.uploads


def _upload(request: Request) -> tuple[Uploads, Upload]:
    uploads = _parts(request)[1]
    repository = request_names.repository(request)
    return uploads, uploads.find(repository, request_names.upload_id(request.path_params['upload']))


def _position(upload: Upload) -> dict[str, str]:
    return {'Location': f'/v2/{upload.repository}/blobs/uploads/{upload.id}', 'Docker-Upload-UUID': upload.id,
            'Range': f'0-{max(0, upload.size - 1)}'}


def _accepted(upload: Upload) -> Response:
    return Response(status_code=202, headers=_position(upload))


def _created(repository: str, digest: Digest) -> Response:
    return Response(status_code=201, headers={'Location': f'/v2/{repository}/blobs/{digest}',
                                              'Docker-Content-Digest': digest})
