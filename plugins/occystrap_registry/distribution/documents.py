"""Manifests and configs: fetched completely, with a size limit, checked against their digests."""
import re

from occystrap_core import AccessDenied, ImageNotFound, InvalidImage, OccystrapError, ServiceError
from occystrap_core.files import DigestMismatch
from occystrap_core.oci import (
    CONFIG_CAP, MANIFEST_CAP, SHA256, Descriptor, Digest, Index, Manifest, is_referrer_tag, media_types, parse_json,
    parse_manifest_or_index,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.error_answers import is_web_page, web_page
from occystrap_registry.distribution.reported_digest import reported_digest
from occystrap_registry.distribution.settle_time import NAMED, SettleTime
from occystrap_registry.transport.answers import Reply

ACCEPT = ', '.join((*media_types.MANIFESTS, *media_types.INDEXES))
_TAG = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}')
_TAGS = 1000


def get_manifest(client: RegistryClient, tag_or_digest: str | Digest, listed_as: str = '', most: float = 0,
                 ) -> Manifest | Index:
    """Return the manifest or index with a tag or digest; raises ImageNotFound, InvalidImage, ServiceError.

    `listed_as` is its media type in an index, used if it neither states a type nor is served with one. `most` limits
    how many seconds of `Settings.settle` to wait for it, for documents that another document refers to.
    """
    settle = SettleTime(client.settings, most) if most else None
    while (found := find_manifest(client, tag_or_digest, listed_as)) is None and settle and settle.again():
        pass
    if found is None:
        raise ImageNotFound(_not_found(client, tag_or_digest), 'manifest-missing')
    return found


def find_manifest(client: RegistryClient, tag_or_digest: str | Digest, listed_as: str = '',
                  ) -> Manifest | Index | None:
    """Return the manifest or index with a tag or digest, None if there is none; raises as `get_manifest` does."""
    name = client.address.name_of(tag_or_digest)
    what = f'the manifest of {name}'
    reply = fetch_manifest(client, tag_or_digest, client.address.pull_scope)
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise client.failure(reply, f'{what} cannot be read')
    if is_web_page(reply.headers, reply.body):
        raise InvalidImage(f'{what} cannot be read: {web_page(reply.url.netloc)}')
    raw, expected = _uncut(reply, what), _expected_digests(reply, tag_or_digest)
    for each in expected:
        if (digest := Digest.of(raw, each.algorithm)) != each:
            raise DigestMismatch(f'{what} has digest {digest}, expected {each}', 'manifest-digest')
    algorithm = expected[0].algorithm if expected and _is_name(client, expected[0], tag_or_digest) else SHA256
    return parsed_manifest(raw, reply.headers.get('content-type', ''), listed_as, algorithm, name)


def parsed_manifest(raw: bytes, served_as: str, listed_as: str, algorithm: str, name: str) -> Manifest | Index:
    """Return the manifest or index with these bytes, served with a media type; raises InvalidImage with its `name`."""
    try:
        known = media_types.essence(served_as) in (*media_types.MANIFESTS, *media_types.INDEXES)
        found = parse_manifest_or_index(raw, served_as if known else listed_as, algorithm)
        return found._replace(served_as=served_as)
    except InvalidImage as error:
        raise error.renamed(f'{name}: {error}') from None


def present_digest(client: RegistryClient, tag_or_digest: str | Digest) -> Digest:
    """Return the digest of the manifest that a name means now; raises as `get_manifest` does.

    Registries with pull limits do not count HEAD. If its answer has no sha256, the manifest is read.
    """
    try:
        address = client.address
        reply = client.fetch('HEAD', address.manifest(tag_or_digest), address.pull_scope, {'Accept': ACCEPT})
        digest = reported_digest(reply.headers) if reply.status == 200 else None
    except AccessDenied:  # some registries refuse every HEAD
        digest = None
    return digest if digest and digest.algorithm == SHA256 else get_manifest(client, tag_or_digest).digest


def _is_name(client: RegistryClient, reported: Digest, tag_or_digest: str | Digest) -> bool:
    """Return whether a digest that the registry reports for a tag is one by which it can be asked for the manifest.

    A registry has a manifest under the digest of its push, which may be a sha512; others only report one.
    """
    if reported.algorithm == SHA256 or reported == tag_or_digest:
        return True
    try:
        target = client.address.manifest(reported)
        reply = client.fetch('HEAD', target, client.address.pull_scope, {'Accept': ACCEPT})
    except AccessDenied:  # some registries refuse every HEAD
        return False
    if reply.status == 429 or reply.status >= 500:
        raise client.failure(reply, f'{client.address.name_of(reported)} cannot be asked for')
    return reply.status == 200


def fetch_manifest(client: RegistryClient, tag_or_digest: str | Digest, scope: str) -> Reply:
    """Return the registry's answer, with any status, to GET of a manifest or index."""
    return client.fetch('GET', client.address.manifest(tag_or_digest), scope, {'Accept': ACCEPT}, cap=MANIFEST_CAP)


def get_document(client: RegistryClient, descriptor: Descriptor, what: str) -> bytes:
    """Return a small blob, such as a config; raises DigestMismatch, ImageNotFound, InvalidImage, ServiceError."""
    address = client.address
    settle = SettleTime(client.settings, NAMED)
    while True:
        reply = client.fetch('GET', address.blob(descriptor.digest), address.pull_scope, cap=CONFIG_CAP)
        if reply.status != 404 or not settle.again():
            break
    if reply.status == 404:
        raise ImageNotFound(f'{what}, blob {descriptor.digest}, is not in {address.reference.name}')
    if reply.status != 200:
        raise client.failure(reply, f'{what}, blob {descriptor.digest}, cannot be read')
    raw = _uncut(reply, what, CONFIG_CAP)
    if is_web_page(reply.headers, raw) and Digest.of(raw, descriptor.digest.algorithm) != descriptor.digest:
        raise InvalidImage(f'{what} cannot be read: {web_page(reply.url.netloc)}')
    return descriptor.checked(raw, what)


def _uncut(reply: Reply, what: str, cap: int = MANIFEST_CAP) -> bytes:
    if reply.cut:
        raise InvalidImage(f'{what} has more than the {cap} bytes allowed')
    return reply.body


def _expected_digests(reply: Reply, tag_or_digest: str | Digest) -> list[Digest]:
    """Return the digests that the body must have: the requested one, and the one in the registry's answer."""
    reported = reported_digest(reply.headers)
    return [*([tag_or_digest] if isinstance(tag_or_digest, Digest) else []), *([reported] if reported else [])]


def _not_found(client: RegistryClient, tag_or_digest: str | Digest) -> str:
    """Return the message for a missing manifest, with the closest tags of the repository, if it exists."""
    name, host = client.address.name_of(tag_or_digest), client.address.host
    try:
        tags = _tags(client)
    except (OccystrapError, ValueError):
        return f'{name} does not exist'
    if tags is None:
        return f'{name} does not exist: {host} has no such repository{client.authentication.hint()}'
    is_digest = isinstance(tag_or_digest, Digest)
    tags = [tag for tag in tags if not is_referrer_tag(tag)] or tags
    import difflib  # late: only errors need it
    near = tags[:5] if is_digest else difflib.get_close_matches(tag_or_digest, tags, n=5, cutoff=0.0)
    return f'{name} does not exist; ' + (f'available: {", ".join(near)}' if near else 'the repository has no tags')


def _tags(client: RegistryClient) -> list[str] | None:
    """Return the first tags of the repository, None if it does not exist; raises ServiceError, ValueError."""
    from occystrap_registry.distribution.pages import BAD_SIZE  # late: only errors need it
    address = client.address
    target = f'/v2/{address.reference.repository}/tags/list'
    reply = client.fetch('GET', f'{target}?n={_TAGS}', address.pull_scope)
    if reply.status in BAD_SIZE:
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
