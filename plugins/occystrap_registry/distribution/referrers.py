"""The referrers of an image in a registry: by the API or the tag that replaces it, and by cosign's tags."""
from occystrap_core import InvalidImage, ServiceError
from occystrap_core.oci import (
    COSIGN_SUFFIXES, MANIFEST_CAP, Descriptor, Digest, Index, Manifest, media_types, referrers_tag,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import find_manifest
from occystrap_registry.distribution.pages import Paging, next_query
from occystrap_registry.transport.answers import Answer, Reply
from occystrap_registry.transport.retries import whole_reply

_NO_API = (204, 400, 404, 405, 406, 410, 415, 422, 501)


def list_referrers(client: RegistryClient, subject: Digest) -> list[Descriptor]:
    """Return the referrers of `subject`: those of the API, and older ones under the fallback tag.

    Raises ServiceError, InvalidImage.
    """
    tagged = tagged_referrers(client, subject)
    listed = [*(referrers_by_api(client, subject) or ()), *(tagged.manifests if tagged else ())]
    return list({entry.digest: entry for entry in listed}.values())


def referrers_by_api(client: RegistryClient, subject: Digest) -> list[Descriptor] | None:
    """Return the referrers that the API lists (distribution-spec, Listing Referrers); None if there is no API."""
    path, entries = f'/v2/{client.address.reference.repository}/referrers/{subject}', list[Descriptor]()
    what, query = f'the referrers of {client.address.name_of(subject)}', ''
    paging = Paging(client.address.host, what)
    while True:
        reply = _ask(client, f'{path}?{query}' if query else path, subject)
        if (reply is None or reply.status in _NO_API) and not query:
            return None
        if reply is None:
            raise ServiceError(f'{client.address.host} redirects to something else than a list for {what}')
        if reply.status != 200:
            raise client.failure(reply, f'{what} cannot be read')
        index = _listed(reply)
        if index is None and not query:
            return None
        if index is None:
            raise ServiceError(f'{client.address.host} does not answer with a list for {what}')
        page = {str(entry.digest): entry for entry in index.manifests}
        entries += [page[digest] for digest in paging.fresh(page)]
        query = next_query(reply.headers.get('link', ''), what) or ''
        if not query:
            return entries
        paging.go_on(query)


class _NoApi(Exception):
    pass


def _ask(client: RegistryClient, target: str, subject: Digest) -> Reply | None:
    """Return the answer of the API; None for a redirect elsewhere, such as to a web site with limits of its own."""
    def send() -> Answer:
        answer = client.once('GET', target, client.address.pull_scope, {'Accept': media_types.OCI_INDEX})
        path = answer.url.path.replace('%3A', ':')
        if not path.endswith(f'/referrers/{subject}'):
            answer.close()
            raise _NoApi
        return answer
    try:
        return whole_reply(client.attempts(), send, MANIFEST_CAP, client.endpoint.crowd)
    except _NoApi:
        return None


def _listed(reply: Reply) -> Index | None:
    """Return the index in an answer; None for anything else, such as the web page of a registry without the API.

    Raises InvalidImage for a body that claims to be an index and is not.
    """
    try:
        return Index.parse(reply.body)
    except InvalidImage:
        if reply.headers.get('content-type', '').startswith(media_types.OCI_INDEX):
            raise
        return None


def tagged_referrers(client: RegistryClient, subject: Digest) -> Index | None:
    """Return the index under the fallback tag for referrers; None if there is no such tag.

    Some registries resolve a digest written as a tag to the subject itself.
    """
    tag = referrers_tag(subject)
    found = find_manifest(client, tag)
    if found and found.digest == subject:
        return None
    if isinstance(found, Manifest):
        raise InvalidImage(f'{client.address.name_of(tag)} must be an index of referrers, but is a manifest')
    return found


def referring_to(client: RegistryClient, subject: Digest,
                 ) -> tuple[list[Descriptor], list[tuple[str, Manifest | Index]]]:
    """Return the referrers of a digest, and the documents under cosign's tags for it; raises as `list_referrers`."""
    client.settings.cancellation.check()
    tagged = []
    for suffix in COSIGN_SUFFIXES:
        tag = referrers_tag(subject) + suffix
        if document := find_manifest(client, tag):
            tagged.append((tag, document))
    return list_referrers(client, subject), tagged
