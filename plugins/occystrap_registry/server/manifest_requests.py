"""Requests for manifests, tags and the catalog (distribution-spec, Pushing manifests, Content discovery)."""
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from occystrap_core import InvalidImage
from occystrap_core.oci import MANIFEST_CAP, Digest, Manifest, parse_manifest_or_index
from occystrap_registry.server import names
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import Storage

_PAGE = 1000
_NUMBER = re.compile(r'[0-9]{1,9}')


async def put_manifest(request: Request) -> Response:
    """PUT: a manifest or index whose parts are all here, under a tag or under its digest."""
    storage, repository, reference = _addressed(request)
    raw = await _capped_body(request)
    digest = Digest.of(raw)
    if isinstance(reference, Digest) and reference != digest:
        raise Problem(400, 'DIGEST_INVALID', f'the manifest has digest {digest}, not {reference}')
    media_type = _validated(storage, repository, raw, request.headers.get('content-type'))
    tag = None if isinstance(reference, Digest) else reference
    storage.add_manifest(repository, digest, raw, media_type, tag)
    return Response(status_code=201, headers={'Location': f'/v2/{repository}/manifests/{digest}',
                                              'Docker-Content-Digest': digest})


async def get_manifest(request: Request) -> Response:
    """GET and HEAD: a manifest, byte for byte."""
    storage, repository, reference = _addressed(request)
    digest, media_type, raw = storage.manifest(repository, reference)
    headers = {'Docker-Content-Digest': digest, 'Content-Type': media_type, 'Content-Length': str(len(raw))}
    return Response(b'' if request.method == 'HEAD' else raw, headers=headers)


async def delete_manifest(request: Request) -> Response:
    """DELETE: a tag, or a manifest."""
    storage, repository, reference = _addressed(request)
    storage.delete_manifest(repository, reference)
    return Response(status_code=202)


async def list_tags(request: Request) -> Response:
    """GET: a repository's tags, in pages."""
    storage: Storage = request.app.state.storage
    repository = names.repository_name(request.path_params['name'])
    page, headers = _page(request, storage.tags(repository))
    return JSONResponse({'name': repository, 'tags': page}, headers=headers)


async def catalog(request: Request) -> Response:
    """GET: all repositories, in pages."""
    storage: Storage = request.app.state.storage
    page, headers = _page(request, sorted(storage.repositories()))
    return JSONResponse({'repositories': page}, headers=headers)


def _addressed(request: Request) -> tuple[Storage, str, Digest | str]:
    repository = names.repository_name(request.path_params['name'])
    reference = request.path_params['reference']
    parsed = names.digest(reference) if names.is_digest(reference) else names.tag(reference)
    return request.app.state.storage, repository, parsed


async def _capped_body(request: Request) -> bytes:
    """Return the body; raises Problem 413 as soon as it is over the cap."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MANIFEST_CAP:
            raise Problem(413, 'MANIFEST_INVALID', f'a manifest may have {MANIFEST_CAP} bytes at most')
    return bytes(body)


def _validated(storage: Storage, repository: str, raw: bytes, content_type: str | None) -> str:
    """Return the media type; raises Problem 400 for what is no manifest or names parts that are not here."""
    try:
        parsed = parse_manifest_or_index(raw, content_type)
    except InvalidImage as error:
        raise Problem(400, 'MANIFEST_INVALID', str(error)) from None
    if isinstance(parsed, Manifest):
        needed = [parsed.config, *(layer for layer in parsed.layers if not layer.urls)]
        missing = [each for each in needed if not storage.has_blob(repository, each.digest)]
    else:
        missing = [each for each in parsed.manifests if not storage.has_manifest(repository, each.digest)]
    if missing:
        raise Problem(400, 'MANIFEST_BLOB_UNKNOWN', f'{repository} has no {missing[0].digest}')
    return parsed.media_type


def _page(request: Request, everything: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the page that `n` and `last` ask for, and the Link to the next (RFC 8288)."""
    wanted = request.query_params.get('n', str(_PAGE))
    if not _NUMBER.fullmatch(wanted):
        raise Problem(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number of at most nine digits')
    count, last = min(int(wanted), _PAGE), request.query_params.get('last', '')
    rest = [each for each in everything if each > last]
    page = rest[:count]
    more = len(rest) > count and page
    return page, {'Link': f'<{request.url.path}?n={count}&last={page[-1]}>; rel="next"'} if more else {}
