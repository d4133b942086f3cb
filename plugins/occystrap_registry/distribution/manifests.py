"""Putting manifests and indexes into a registry, under a tag or their digest, and what hangs on an image beside it."""
from collections import defaultdict
from collections.abc import Sequence

from occystrap_core import Expectation, InvalidImage, OutputError, WrittenReferrer
from occystrap_core.oci import Digest, Index, Manifest, parse_manifest_or_index, referrer_of, referrers_tag
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import fetch_manifest
from occystrap_registry.distribution.referrers import referrers_by_api, tagged_referrers
from occystrap_registry.distribution.uploads import whole
from occystrap_registry.transport.answers import Reply


def now_there(client: RegistryClient, name: str) -> Reply:
    """Return what the registry answers when it is asked for a tag or digest that is to be pushed."""
    return fetch_manifest(client, name, client.address.push_scope)


def understood(reply: Reply) -> Manifest | Index | None:
    """Return the manifest or index in an answer; None if there is none, or nothing that an image could be."""
    try:
        return parse_manifest_or_index(reply.body, reply.headers.get('content-type')) if reply.status == 200 else None
    except InvalidImage:
        return None


def put_manifest(client: RegistryClient, name: str, document: Manifest | Index, differs: bool = False) -> Expectation:
    """Put a manifest or index under a tag or its digest, unless it is there; return what to expect of it.

    It is not asked for again where it is known that something else `differs` from it there. Raises OutputError,
    ServiceError.
    """
    if differs or not _is_there(client, name, document):
        _push(client, name, document)
    kind = 'index' if isinstance(document, Index) else 'manifest'
    return Expectation(kind, name, document.digest, len(document.raw))


def attach_referrers(client: RegistryClient, referrers: Sequence[WrittenReferrer]) -> list[Expectation]:
    """Tag what is found by a tag; list what is found as a referrer, where the registry does not do so by itself.

    Everything must be there by its digest. Returns what to expect.
    """
    expected = [put_manifest(client, each.tag, each.document) for each in referrers if each.tag]
    listed: defaultdict[Digest, list[Manifest | Index]] = defaultdict(list)
    for each in referrers:
        if each.subject:
            listed[each.subject].append(each.document)
    for subject, documents in listed.items():
        _list(client, subject, documents)
        expected += [Expectation('referrer', subject, each.digest, len(each.raw)) for each in documents]
    return expected


def _list(client: RegistryClient, subject: Digest, documents: Sequence[Manifest | Index]) -> None:
    """Keep the tag that lists referrers (distribution-spec, Pushing Manifests with Subject) if there is no API."""
    if referrers_by_api(client, subject) is not None:
        return
    index = tagged_referrers(client, subject) or Index.build(())
    known = {entry.digest for entry in index.manifests}
    if missing := [referrer_of(each) for each in documents if each.digest not in known]:
        put_manifest(client, referrers_tag(subject), index.extended(missing))


def _is_there(client: RegistryClient, name: str, document: Manifest | Index) -> bool:
    reply = now_there(client, name)
    return reply.status == 200 and reply.body == document.raw


def _push(client: RegistryClient, name: str, document: Manifest | Index) -> None:
    headers = {'Content-Type': document.media_type, 'Content-Length': str(len(document.raw))}
    address = client.address
    reply = client.fetch('PUT', address.manifest(name), address.push_scope, headers, whole(document.raw))
    if reply.status not in (200, 201, 202):
        named = address.name_of(Digest(name) if ':' in name else name)
        raise client.failure(reply, f'{named}: the registry refuses the manifest')
    told = reply.headers.get('docker-content-digest')
    if told not in (None, document.digest):
        raise OutputError(f'{address.host} stored the manifest as {told}, not {document.digest}')
