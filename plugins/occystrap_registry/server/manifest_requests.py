"""Requests for manifests, tags, referrers and the catalog (distribution-spec, Pushing manifests, Content discovery)."""
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlencode

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from occystrap_core import InvalidImage
from occystrap_core.oci import (
    MANIFEST_CAP, SHA256, Descriptor, Digest, Index, Manifest, dump_json, parse_manifest_or_index, referrer_of,
    subject_of,
)
from occystrap_registry.server import request_names
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.paced_body import paced_body
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.recent_images import FAILED, RecentImage, RecentImages
from occystrap_registry.server.storage import PushedManifest, Storage

_PAGE = 1000
_TAGS = 100
"""The number of tags that one request may set."""
_LONGEST_LIST = MANIFEST_CAP - 1024
"""The size limit for the entries of a list of referrers, in bytes, since the list is a manifest."""
_NUMBER = re.compile(r'[0-9]{1,9}')


async def put_manifest(request: Request) -> Response:
    """PUT: store a manifest or index, whose parts must exist, under tags or its digest."""
    storage: Storage = request.app.state.storage
    repository, reference, manifest = await read_pushed(request)
    with _noted(request.app.state.recent, _named(repository, reference), manifest):
        await anyio.to_thread.run_sync(storage.add_manifest, repository, manifest)
    response = Response(status_code=201, headers={'Location': f'/v2/{repository}/manifests/{manifest.digest}',
                                                  'Docker-Content-Digest': manifest.digest})
    if manifest.subject:
        response.headers['OCI-Subject'] = manifest.subject
    for tag in manifest.tags if isinstance(reference, Digest) else ():
        response.headers.append('OCI-Tag', tag)
    return response


async def read_pushed(request: Request) -> tuple[str, Digest | str, PushedManifest]:
    """Return the repository, the reference, and the manifest that is pushed; raises Problem if it is invalid."""
    repository, reference = addressed(request)
    raw = await _capped_body(request)
    tags, kind = _tags(request, reference), request.headers.get('content-type')
    manifest = await anyio.to_thread.run_sync(_pushed, raw, reference, kind)
    return repository, reference, manifest._replace(tags=tags)


@contextmanager
def _noted(recent: RecentImages, name: str, manifest: PushedManifest) -> Iterator[None]:
    """Record the result of storing a manifest in the with block."""
    begun, image = time.monotonic(), RecentImage(name, digest=manifest.digest, size=manifest.size)
    try:
        yield
    except (Problem, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        image = image._replace(digest='', outcome=FAILED, reason=str(reason))
        raise
    finally:
        recent.add(image._replace(seconds=time.monotonic() - begun, when=time.time()))


def _named(repository: str, reference: Digest | str) -> str:
    return f'{repository}{"@" if isinstance(reference, Digest) else ":"}{reference}'


def _tags(request: Request, reference: Digest | str) -> list[str]:
    """Return the tags for a manifest: its reference, or those in the query beside a digest.

    The query is that of the next version of the specification, and the only way to tag a digest that is not sha256.
    """
    if not isinstance(reference, Digest):
        return [reference]
    tags = [request_names.tag(each) for each in request.query_params.getlist('tag')]
    if len(tags) > _TAGS:
        raise Problem(414, 'TAG_INVALID', f'a manifest gets at most {_TAGS} tags in one request')
    return tags


def get_manifest(request: Request) -> Response:
    """GET and HEAD: return a manifest, byte for byte."""
    storage: Contents = request.app.state.storage
    digest, media_type, raw = storage.manifest(*addressed(request))
    headers = {'Docker-Content-Digest': digest, 'Content-Type': media_type, 'Content-Length': str(len(raw))}
    return Response(b'' if request.method == 'HEAD' else raw, headers=headers)


def delete_manifest(request: Request) -> Response:
    """DELETE: remove a tag, or a manifest."""
    storage: Storage = request.app.state.storage
    storage.delete_manifest(*addressed(request))
    return Response(status_code=202)


def list_tags(request: Request) -> Response:
    """GET: return a page of a repository's tags."""
    storage: Contents = request.app.state.storage
    repository = request_names.repository(request)
    page, headers = page_of(request, storage.tags(repository))
    return JSONResponse({'name': repository, 'tags': page}, headers=headers)


def catalog(request: Request) -> Response:
    """GET: return a page of all repositories."""
    storage: Contents = request.app.state.storage
    page, headers = page_of(request, sorted(filter(request.app.state.rules.allows, storage.repositories())))
    return JSONResponse({'repositories': page}, headers=headers)


def list_referrers(request: Request) -> Response:
    """GET: return a page of a manifest's referrers as an index, optionally only of one artifact type."""
    storage: Contents = request.app.state.storage
    repository = request_names.repository(request)
    subject, kind = request_names.digest(request.path_params['digest']), request_names.artifact_type(request)
    digests = {str(digest): digest for digest in storage.referrers(repository, subject)}
    kept = {'artifactType': kind} if kind else {}
    page, headers = page_of(request, list(digests), kept)
    entries: list[Descriptor] = []
    size = 0
    for number, each in enumerate(page):
        entry = _referrer(storage, repository, digests[each])
        if entry is None:
            continue
        size += len(dump_json(entry.to_json())) + 1
        if entries and size > _LONGEST_LIST:
            headers = _next(request, {'n': len(page), 'last': page[number - 1], **kept})
            break
        if kind in (None, '', entry.artifact_type):
            entries.append(entry)
    index = Index.build(entries)
    headers |= {'OCI-Filters-Applied': 'artifactType'} if kind else {}
    return Response(index.raw, media_type=index.media_type, headers=headers)


def _referrer(storage: Contents, repository: str, digest: Digest) -> Descriptor | None:
    """Return the entry of a referrer, None if it was deleted after it was listed."""
    try:
        _, media_type, raw = storage.manifest(repository, digest)
    except Problem as problem:
        if problem.status != 404:
            raise
        return None
    return referrer_of(parse_manifest_or_index(raw, media_type, digest.algorithm))


def addressed(request: Request) -> tuple[str, Digest | str]:
    """Return the repository, and the digest or tag, to which a request refers; raises Problem."""
    repository = request_names.repository(request)
    reference = request.path_params['reference']
    parsed = request_names.digest(reference) if request_names.is_digest(reference) else request_names.tag(reference)
    return repository, parsed


async def _capped_body(request: Request) -> bytes:
    """Return the body; raises Problem 413 as soon as it exceeds the limit."""
    body = bytearray()
    async for piece in paced_body(request):
        body += piece
        if len(body) > MANIFEST_CAP:
            raise Problem(413, 'MANIFEST_INVALID', f'a manifest may have {MANIFEST_CAP} bytes at most')
    return bytes(body)


def _pushed(raw: bytes, reference: Digest | str, content_type: str | None) -> PushedManifest:
    """Return the manifest in `raw`; raises Problem 400 for an invalid one, or one with another digest."""
    digest = Digest.of(raw, reference.algorithm if isinstance(reference, Digest) else SHA256)
    if isinstance(reference, Digest) and reference != digest:
        raise Problem(400, 'DIGEST_INVALID', f'the manifest has digest {digest}, not {reference}')
    try:
        parsed = parse_manifest_or_index(raw, content_type)
        subject = subject_of(parsed)
        if subject:
            referrer_of(parsed)
    except InvalidImage as error:
        raise Problem(400, 'MANIFEST_INVALID', str(error)) from None
    if isinstance(parsed, Manifest):
        blobs = [parsed.config, *(layer for layer in parsed.layers if not layer.urls)]
        return PushedManifest(digest, raw, parsed.media_type, [each.digest for each in blobs], (), subject,
                              size=sum(layer.size for layer in parsed.layers))
    return PushedManifest(digest, raw, parsed.media_type, (), [each.digest for each in parsed.manifests], subject)


def page_of(request: Request, everything: list[str], kept: Mapping[str, str] | None = None,
            ) -> tuple[list[str], dict[str, str]]:
    """Return the page for `n` and `last`, and a header with the Link to the next page (RFC 8288), with `kept` in its
    query."""
    number = request.query_params.get('n', str(_PAGE))
    if not _NUMBER.fullmatch(number):
        raise Problem(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number of at most nine digits')
    count, last = min(int(number), _PAGE), request.query_params.get('last', '')
    rest = [each for each in everything if each > last]
    page = rest[:count]
    more = len(rest) > count and page
    return page, _next(request, {'n': count, 'last': page[-1], **(kept or {})}) if more else {}


def _next(request: Request, query: Mapping[str, str | int]) -> dict[str, str]:
    return {'Link': f'<{request.url.path}?{urlencode(query, safe=":/")}>; rel="next"'}
