"""Pushing manifests and indexes to a registry, under a tag or their digest, and listing referrers."""
from collections import defaultdict
from collections.abc import Callable, Sequence

from occystrap_core import Expectation, InvalidImage, OutputError, ServiceError, WrittenReferrer
from occystrap_core.oci import Digest, Index, Manifest, parse_manifest_or_index, referrer_of, referrers_tag
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import fetch_manifest
from occystrap_registry.distribution.error_answers import error_codes, warnings_in
from occystrap_registry.distribution.referrers import referrers_by_api, tagged_referrers
from occystrap_registry.distribution.reported_digest import STORED, reported_digest
from occystrap_registry.distribution.settle_time import SettleTime
from occystrap_registry.distribution.uploads import whole
from occystrap_registry.transport.answers import Reply

_SURELY_ABOUT_FORM = {'MANIFEST_INVALID', 'UNSUPPORTED'}
_ABOUT_FORM = {*_SURELY_ABOUT_FORM, 'MANIFEST_UNVERIFIED', 'TAG_INVALID', 'UNKNOWN', 'INVALID_REQUEST'}
"""Error codes for a manifest whose form is not accepted (also of OpenShift, ECR, old Quay)."""
_WITHOUT_CODE = (400, 406, 415, 422, 501)
_NOT_YET = {'MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN', 'MANIFEST_UNKNOWN', 'NAME_UNKNOWN'}
"""Error codes (distribution-spec, Error codes) for a manifest whose blobs or parts the registry does not see yet."""


class ManifestRefused(ServiceError):
    """The registry refuses a manifest or index, perhaps because it does not accept its form."""


class ManifestReplaced(OutputError):
    """The registry is a proxy whose filters changed the pushed image."""


def fetch_existing(client: RegistryClient, name: str) -> Reply:
    """Return the registry's answer, with any status, to GET of a tag or digest that will be pushed."""
    return fetch_manifest(client, name, client.address.push_scope)


def parsed_or_none(reply: Reply) -> Manifest | Index | None:
    """Return the manifest or index in an answer; None if there is none or it is malformed."""
    try:
        return parse_manifest_or_index(reply.body, reply.headers.get('content-type')) if reply.status == 200 else None
    except InvalidImage:
        return None


def put_manifest(client: RegistryClient, name: str, document: Manifest | Index, differs: bool = False,
                 warn: Callable[[str], None] = lambda text: None) -> Expectation:
    """Push a manifest or index under a tag or its digest, unless the registry has it; return its expectation.

    `differs`: the registry is known to have another document there. `warn` gets the registry's warnings. Raises
    ManifestReplaced, OutputError, ServiceError.
    """
    if differs or not _exists(client, name, document):
        reply = _push(client, name, document)
        for text in warnings_in(reply):
            warn(text)
        _require_unfiltered(client, name, document, reply)
    kind = 'index' if isinstance(document, Index) else 'manifest'
    return Expectation(kind, name, document.digest, len(document.raw))


def attach_referrers(client: RegistryClient, referrers: Sequence[WrittenReferrer]) -> list[Expectation]:
    """Push the tags of referrers, and list referrers if the registry does not; return the expectations for that.

    The registry must already have them by digest.
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
    """Update the tag that lists referrers (distribution-spec, Pushing Manifests with Subject) if the API is missing."""
    if referrers_by_api(client, subject) is not None:
        return
    index = tagged_referrers(client, subject) or Index.build(())
    known = {entry.digest for entry in index.manifests}
    if missing := [referrer_of(each) for each in documents if each.digest not in known]:
        put_manifest(client, referrers_tag(subject), index.extended(missing))


def _exists(client: RegistryClient, name: str, document: Manifest | Index) -> bool:
    reply = fetch_existing(client, name)
    return reply.status == 200 and reply.body == document.raw


def _push(client: RegistryClient, name: str, document: Manifest | Index) -> Reply:
    headers = {'Content-Type': document.media_type, 'Content-Length': str(len(document.raw))}
    address = client.address
    settle, waited = SettleTime(client.settings), 0.0
    while True:
        reply = client.fetch('PUT', address.manifest(name), address.push_scope, headers, whole(document.raw))
        if reply.status < 400 or not _NOT_YET & set(error_codes(reply)) or not settle.again():
            break
        waited = settle.passed
    if reply.status not in (200, 201, 202, 204):
        named = address.name_of(Digest(name) if ':' in name else name)
        failure = client.failure(reply, f'{named}: the registry refuses the manifest')
        raise ManifestRefused(str(failure)) if _is_about_form(reply) else failure
    client.settle_seconds = max(client.settle_seconds, waited)
    stored = reported_digest(reply.headers)
    if stored and stored != Digest.of(document.raw, stored.algorithm):
        raise OutputError(f'{address.host} stored the manifest as {stored}, expected {document.digest}')
    return reply


def _require_unfiltered(client: RegistryClient, name: str, document: Manifest | Index, reply: Reply) -> None:
    """Raise ManifestReplaced if a proxy reports that it stored another image than it was sent."""
    stored = reported_digest(reply.headers, STORED)
    if stored and stored != Digest.of(document.raw, stored.algorithm):
        named = client.address.name_of(Digest(name) if ':' in name else name)
        raise ManifestReplaced(f'{named}: this proxy filters images: it stored {stored} instead of {document.digest}, '
                               "which is not there; give this command the proxy's filters (-f), so that it has nothing "
                               'to change, or push to the registry behind it')


def _is_about_form(reply: Reply) -> bool:
    """Return whether a manifest may have been refused for its form: no error code is about anything else."""
    codes = {code.upper() for code in error_codes(reply)}
    if reply.status in (401, 403, 429):
        return False
    if reply.status >= 500 and reply.status != 501:
        return bool(codes) and codes <= _SURELY_ABOUT_FORM
    return codes <= _ABOUT_FORM if codes else reply.status in _WITHOUT_CODE
