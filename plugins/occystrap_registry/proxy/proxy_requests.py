"""The requests that a proxy answers differently from a registry: what is pulled comes from downstream, and is verified.
"""
import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from occystrap_core import Cancelled, OccystrapError
from occystrap_core.oci import Digest, Index
from occystrap_registry.distribution.reported_digest import STORED
from occystrap_registry.proxy.blob_streams import BlobStream, in_thread
from occystrap_registry.proxy.deletions import Deletions, refused
from occystrap_registry.proxy.downstream_blobs import DownstreamBlobs
from occystrap_registry.proxy.order_problems import pull_problem
from occystrap_registry.proxy.image_orders import ImageOrders, Stored
from occystrap_registry.proxy.images import ProxiedImages
from occystrap_registry.proxy.remote import Remote
from occystrap_registry.proxy.staged_images import Staging
from occystrap_registry.server import blob_requests, manifest_requests, request_names
from occystrap_registry.server.handlers import Handlers
from occystrap_registry.server.problems import Problem

T = TypeVar('T')

STALE = 'Occystrap-Stale'
_COPIES = 4
"""Copies of a piece that are in memory: the piece, the one held back before it, and buffers of both connections."""
_LONGEST = 300
"""The longest message in a header, in characters."""


class ProxyRequests:
    """The handlers of a proxy."""

    def __init__(self, images: ProxiedImages, orders: ImageOrders, downstream: Remote, blobs: DownstreamBlobs,
                 staging: Staging, deletions: Deletions) -> None:
        self._images, self._orders, self._downstream, self._staging = images, orders, downstream, staging
        self._blobs, self._deletions = blobs, deletions

    @property
    def handlers(self) -> Handlers:
        """The handler for each kind of request."""
        return Handlers(self.catalog, self.list_tags, self.list_referrers, self.get_manifest, self.put_manifest,
                        self.delete_manifest, self.head_blob, self.get_blob, self.delete_blob)

    async def put_manifest(self, request: Request) -> Response:
        """PUT: answer 201 when the image is stored downstream and verified there.

        Docker-Content-Digest in the answer is the digest of what was sent, which clients compare; a header of our own
        has the stored one.
        """
        repository, reference, manifest = await manifest_requests.read_pushed(request)
        await _ask(self._staging.stage, repository, manifest)
        stored = Stored(None)
        for name in manifest.tags or [manifest.digest]:
            stored = await self._orders.once(
                ('push', repository, name, manifest.digest),
                partial(self._images.push, repository, name, manifest))
        headers = {'Docker-Content-Digest': manifest.digest,
                   'Location': f'/v2/{repository}/manifests/{stored.digest or manifest.digest}'}
        headers |= {STORED: stored.digest} if stored.digest else {}
        headers |= {'Warning': _warning(299, stored.note)} if stored.note else {}
        if await in_thread(self._images.lists_referrer, repository, manifest, stored) and manifest.subject:
            headers['OCI-Subject'] = manifest.subject
        response = Response(status_code=201, headers=headers)
        for tag in manifest.tags if isinstance(reference, Digest) else ():
            response.headers.append('OCI-Tag', tag)
        return response

    async def get_manifest(self, request: Request) -> Response:
        """GET and HEAD: return the manifest from downstream, after fetching it from upstream if necessary."""
        repository, reference = manifest_requests.addressed(request)
        found = await _ask(self._images.at_hand, repository, reference)
        if found is None:
            found = await self._orders.once(('pull', repository, reference),
                                            partial(self._images.fetch, repository, reference))
        document = found.document
        headers = {'Docker-Content-Digest': document.digest, 'Content-Type': document.media_type,
                   'Content-Length': str(len(document.raw))}
        if found.stale:
            headers |= {STALE: _header(found.stale), 'Warning': _warning(110, found.stale)}
        return Response(b'' if request.method == 'HEAD' else document.raw, headers=headers)

    async def head_blob(self, request: Request) -> Response:
        """HEAD: return the size of a blob that is staged, or downstream."""
        repository, digest = _blob(request)
        size = await _ask(self._staging.blob_size, repository, digest)
        return Response(headers=_blob_headers(digest, size))

    async def get_blob(self, request: Request) -> Response:
        """GET: return a blob from downstream; the answer is aborted if the blob is damaged there.

        A range is only sent after the whole blob was checked.
        """
        repository, digest = _blob(request)
        size = await _ask(self._downstream.blob_size, repository, digest)
        if size is None:
            raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest} downstream')
        if 'range' in request.headers:
            await _ask(self._staging.fetch, repository, digest)
            return await in_thread(blob_requests.get_blob, request)
        at_once = blob_requests.piece_size(request.app.state.callers) // _COPIES
        stream = BlobStream(self._blobs.pieces(repository, digest, size, at_once))
        await _ask(stream.open)
        return StreamingResponse(stream.pieces(), 200, _blob_headers(digest, size))

    async def list_tags(self, request: Request) -> Response:
        """GET: return a page of the tags downstream."""
        repository = request_names.repository(request)
        try:
            found = await _ask(self._downstream.tags, repository)
        except Problem as problem:
            problem.code = 'NAME_UNKNOWN' if problem.status == 404 else problem.code
            raise
        page, headers = manifest_requests.page_of(request, found)
        return JSONResponse({'name': repository, 'tags': page}, headers=headers)

    async def catalog(self, request: Request) -> Response:
        """GET: return a page of the repositories downstream."""
        found = filter(request.app.state.rules.allows, await _ask(self._downstream.repositories))
        page, headers = manifest_requests.page_of(request, list(found))
        return JSONResponse({'repositories': page}, headers=headers)

    async def list_referrers(self, request: Request) -> Response:
        """GET: return the referrers of an image as an index."""
        repository = request_names.repository(request)
        subject, kind = request_names.digest(request.path_params['digest']), request_names.artifact_type(request)
        entries = await self._orders.once(('referrers', repository, subject),
                                          partial(self._images.referrers, repository, subject))
        index = Index.build([each for each in entries if kind in (None, '', each.artifact_type)])
        return Response(index.raw, media_type=index.media_type,
                        headers={'OCI-Filters-Applied': 'artifactType'} if kind else {})

    async def delete_manifest(self, request: Request) -> Response:
        """DELETE: delete a tag or a manifest downstream, if the proxy may."""
        await _ask(self._deletions.delete, *manifest_requests.addressed(request))
        return Response(status_code=202)

    def delete_blob(self, request: Request) -> Response:
        """DELETE: raise Problem, since other images may need the blob."""
        raise refused('a proxy deletes no blobs')


async def _ask(work: Callable[..., T], *arguments: object) -> T:
    """Return the result of `work`, run on a thread; raises Problem for errors of another registry."""
    try:
        return await in_thread(work, *arguments)
    except OccystrapError as error:
        raise pull_problem(error) from None
    except Cancelled:
        raise Problem(503, 'UNAVAILABLE', 'the proxy is stopping', {'Retry-After': '10'}) from None


def _blob(request: Request) -> tuple[str, Digest]:
    return request_names.repository(request), request_names.digest(request.path_params['digest'])


def _blob_headers(digest: Digest, size: int) -> dict[str, str]:
    return {'Docker-Content-Digest': digest, 'Content-Type': 'application/octet-stream', 'Accept-Ranges': 'bytes',
            'Content-Length': str(size)}


def _warning(code: int, text: str) -> str:
    """Return the value of a Warning header (RFC 7234, 5.5)."""
    return f'{code} occystrap "{_header(text)}"'


def _header(text: str) -> str:
    """Return a message in a form that is valid in a header."""
    return re.sub(r'[^ !#-\[\]-~]', "'", text)[:_LONGEST]
