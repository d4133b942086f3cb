"""Manifests and configs: fetched whole, capped, held against their digests."""
import difflib
import re

from occystrap_core import ImageNotFound, InvalidImage, OccystrapError, ServiceError
from occystrap_core.files import DigestMismatch, SizeMismatch
from occystrap_core.oci import (
    MANIFEST_CAP, Descriptor, Digest, Index, Manifest, media_types, parse_json, parse_manifest_or_index,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.answers import Reply

ACCEPT = ', '.join((*media_types.MANIFESTS, *media_types.INDEXES))
_TAG = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}')
_TAGS = 1000


def get_manifest(client: RegistryClient, wanted: str | Digest) -> Manifest | Index:
    """Return the manifest or index behind a tag or digest; raises ImageNotFound, InvalidImage, ServiceError."""
    found = find_manifest(client, wanted)
    if found is None:
        raise ImageNotFound(_not_found(client, wanted), 'manifest-missing')
    return found


def find_manifest(client: RegistryClient, wanted: str | Digest) -> Manifest | Index | None:
    """Return the manifest or index behind a tag or digest, None where there is none; raises as `get_manifest` does."""
    what = f'the manifest of {client.address.name_of(wanted)}'
    reply = fetch_manifest(client, wanted, client.address.pull_scope)
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise client.failure(reply, f'{what} cannot be read')
    digest = Digest.of(_uncut(reply, what))
    for expected in _promised(reply, wanted):
        if digest != expected:
            raise DigestMismatch(f'{what} has digest {digest}, should have {expected}', 'manifest-digest')
    try:
        return parse_manifest_or_index(reply.body, reply.headers.get('content-type'))
    except InvalidImage as error:
        raise error.renamed(f'{client.address.name_of(wanted)}: {error}') from None


def fetch_manifest(client: RegistryClient, wanted: str | Digest, scope: str) -> Reply:
    """Return what the registry answers for a manifest or index."""
    return client.fetch('GET', client.address.manifest(wanted), scope, {'Accept': ACCEPT}, cap=MANIFEST_CAP)


def get_document(client: RegistryClient, descriptor: Descriptor, what: str) -> bytes:
    """Return a small blob, such as a config; raises DigestMismatch, ImageNotFound, InvalidImage, ServiceError."""
    address = client.address
    reply = client.fetch('GET', address.blob(descriptor.digest), address.pull_scope, cap=MANIFEST_CAP)
    if reply.status == 404:
        raise ImageNotFound(f'{what}, blob {descriptor.digest}, is not in {address.reference.name}')
    if reply.status != 200:
        raise client.failure(reply, f'{what}, blob {descriptor.digest}, cannot be read')
    raw = _uncut(reply, what)
    if len(raw) != descriptor.size or Digest.of(raw) != descriptor.digest:
        kind = DigestMismatch if Digest.of(raw) != descriptor.digest else SizeMismatch
        raise kind(f'{what} has digest {Digest.of(raw)} and {len(raw)} bytes, should have '
                   f'{descriptor.digest} and {descriptor.size}')
    return raw


def _uncut(reply: Reply, what: str) -> bytes:
    if reply.cut:
        raise InvalidImage(f'{what} has more than the {MANIFEST_CAP} bytes allowed')
    return reply.body


def _promised(reply: Reply, wanted: str | Digest) -> list[Digest]:
    """Return the digests that the body must have: the one asked for, the one that the registry tells."""
    told = reply.headers.get('docker-content-digest')
    return [*([wanted] if isinstance(wanted, Digest) else []), *([Digest(told)] if told else [])]


def _not_found(client: RegistryClient, wanted: str | Digest) -> str:
    """Return what to tell of a manifest that is not there: with the nearest tags where the repository is."""
    name, host = client.address.name_of(wanted), client.address.host
    try:
        tags = _tags(client)
    except (OccystrapError, ValueError):
        return f'{name} is not there'
    if tags is None:
        return f'{name} is not there: {host} has no such repository'
    near = difflib.get_close_matches(wanted, tags, n=5, cutoff=0.0) if not isinstance(wanted, Digest) else tags[:5]
    return f'{name} is not there; ' + (f'there is: {", ".join(near)}' if near else 'the repository has no tags')


def _tags(client: RegistryClient) -> list[str] | None:
    """Return the first tags of the repository, None when it does not exist; raises ServiceError, ValueError."""
    address = client.address
    target = f'/v2/{address.reference.repository}/tags/list?n={_TAGS}'
    reply = client.fetch('GET', target, address.pull_scope)
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise ServiceError('the tags cannot be read')
    listed = parse_json(reply.body, 'the list of tags', len(reply.body))
    tags = listed.get('tags') if isinstance(listed, dict) else None
    if not isinstance(tags, list):
        return []
    return [tag for tag in tags[:_TAGS] if isinstance(tag, str) and _TAG.fullmatch(tag)]
