"""The grammar of names in requests (distribution-spec, Pulling manifests): invalid names never reach a path."""
import re

from starlette.requests import Request

from occystrap_core import InvalidImage
from occystrap_core.oci import ALGORITHMS, Digest
from occystrap_registry.server.problems import Problem

_COMPONENT = r'[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*'
_REPOSITORY = re.compile(rf'{_COMPONENT}(?:/{_COMPONENT})*')
_TAG = re.compile(r'[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}')
_UPLOAD = re.compile(r'[0-9a-f]{32}')


def repository(request: Request, text: str | None = None) -> str:
    """Return the repository in a request's path, or another one that the request names.

    Raises Problem 400 NAME_INVALID, and 403 DENIED for one that the registry's rules exclude.
    """
    name = str(request.path_params['name']) if text is None else text
    if len(name) > 255 or not _REPOSITORY.fullmatch(name):
        raise Problem(400, 'NAME_INVALID', 'the repository name is malformed')
    if not request.app.state.rules.allows(name):
        raise Problem(403, 'DENIED', 'this registry takes other repositories only: see its option --allow')
    return name


def digest(text: str | None) -> Digest:
    """Return a digest; raises Problem 400 DIGEST_INVALID."""
    try:
        return Digest(text)
    except InvalidImage as error:
        raise Problem(400, 'DIGEST_INVALID', str(error)) from None


def algorithm(text: str) -> str:
    """Return the name of an algorithm of digests; raises Problem 400 DIGEST_INVALID."""
    if text not in ALGORITHMS:
        raise Problem(400, 'DIGEST_INVALID', f'unsupported digest algorithm: use {" or ".join(ALGORITHMS)}')
    return text


def tag(text: str) -> str:
    """Return a tag; raises Problem 400 TAG_INVALID."""
    if not _TAG.fullmatch(text):
        raise Problem(400, 'TAG_INVALID', 'the tag is malformed')
    return text


def artifact_type(request: Request) -> str:
    """Return the artifact type in a request, empty for all; a plus sign that was not escaped is accepted."""
    return request.query_params.get('artifactType', '').replace(' ', '+')


def is_digest(reference: str) -> bool:
    """Return whether a manifest's reference is a digest: a tag has no colon."""
    return ':' in reference


def upload_id(text: str) -> str:
    """Return the ID of an upload; raises Problem 404 BLOB_UPLOAD_UNKNOWN for a malformed one."""
    if not _UPLOAD.fullmatch(text):
        raise Problem(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
    return text
