"""Comparing a registry with a receipt: documents are read; of blobs the size is requested, at level full they are
hashed."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from occystrap_core import (
    READ, REPORTED, CheckResults, Expectation, ImageNotFound, InvalidImage, OccystrapError, Receipt,
    ServiceError, Settings, VerifyLevel,
)
from occystrap_core.files import ByteStream
from occystrap_core.oci import CONFIG_CAP, Descriptor, Digest, Reference, parse_manifest_or_index, subject_of
from occystrap_registry.distribution.blobs import BlobSource, blob_size
from occystrap_registry.distribution.client import InternalServerError, RegistryClient
from occystrap_registry.distribution.documents import fetch_manifest, get_manifest
from occystrap_registry.distribution.error_answers import speaks_as_registry
from occystrap_registry.distribution.fresh_documents import FreshDocument, FreshDocuments
from occystrap_registry.distribution.known_blobs import KnownBlobs, ReadBlobs
from occystrap_registry.distribution.referrers import list_referrers
from occystrap_registry.distribution.seen_blobs import SeenBlobs
from occystrap_registry.distribution.settle_time import SettleTime
from occystrap_registry.transport.address import address_of

Check = Callable[[RegistryClient, Expectation, CheckResults], None]


@dataclass(eq=False, repr=False)
class _Finding:
    """The result for one item; `fault`: the message of a last answer 500; `is_final`: waiting will not change it."""

    expectation: Expectation
    level: VerifyLevel
    results: CheckResults = field(default_factory=CheckResults)
    fault: str = ''
    is_final: bool = False

    @property
    def is_answer(self) -> bool:
        """Whether the registry answered the request for the item, with whatever result."""
        return not self.fault and not self.results.has_unreachable

    @property
    def is_doubtful(self) -> bool:
        """Whether the item is missing or different, perhaps only temporarily."""
        return not self.is_final and self.results.has_contradiction

    def forget(self) -> None:
        """Reset the result before another look."""
        self.results, self.fault = CheckResults(), ''


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the registry has of what the receipt expects; an item without an answer is unreachable.

    If a registry answers 500 for one item in all attempts, while it answers for others, it cannot deliver that item:
    that is reported as a difference, not as unreachable.
    """
    client = RegistryClient(address_of(receipt, settings), settings.settled())
    results = CheckResults()
    try:
        asked_before = client.endpoint.answered
        if odd := client.connect_once(client.address.pull_scope):
            results.settled(_require_registry(client, receipt, odd, settings))
        findings = _find_all(client, receipt, level)
        if asked_before and any(each.is_doubtful or not each.is_answer for each in findings):  # is it still there?
            if odd := client.connect(client.address.pull_scope):
                results.settled(_require_registry(client, receipt, odd, settings))
        results.settled(_settle(client, findings, settings))
        results.extend(_summed_up(findings))
        _require_tag(receipt, results)
    except ServiceError as error:
        results.unverified(receipt.destination, str(error))
    finally:
        client.close()
    return results


def _require_tag(receipt: Receipt, results: CheckResults) -> None:
    """Report as unverified if the receipt is for a tag but does not expect the tag to refer to its image; an error if
    the place has the digest of another image in its name."""
    named, digest = Reference.parse(receipt.path, with_host=True), receipt.manifest_digest
    if named.digest and digest and named.digest.algorithm != digest.algorithm:
        results.unverified(receipt.destination, f'it names an image by {named.digest.algorithm}, its receipt by '
                                                f'{digest.algorithm}')
    elif named.digest and digest and named.digest != digest:
        results.error(receipt.destination, f'it names another image: expected {digest}')
    is_untagged = receipt.options.get('untagged', '').lower() in ('true', 'yes', 'on', '1')
    tag = named.tag or ('' if named.digest or is_untagged else named.with_default_tag().tag)
    own = [each.locator for each in receipt.of_kind('index', 'manifest') if each.digest == receipt.manifest_digest]
    if tag and not named.digest and tag not in own:
        results.unverified(receipt.destination, f'the receipt does not expect its manifest under the tag {tag}')


def _find_all(client: RegistryClient, receipt: Receipt, level: VerifyLevel) -> list[_Finding]:
    """Check all items in parallel, the largest first; return the findings in the order of the receipt.

    Blobs that were sent again because they were damaged are hashed at each level, and so are those that a proxy
    requires to be read once.
    """
    host, repository = client.address.host, client.address.reference.repository
    known, read = KnownBlobs.of(host, client.settings), ReadBlobs.of(host, client.settings)
    resent = receipt.options.get('resend', '').split(',')
    due = {each.digest for each in receipt.of_kind('layer') if each.digest in resent or read.is_due(
        repository, each.digest, known.was_sent(repository, each.digest))}
    findings = [_Finding(each, VerifyLevel.FULL if each.digest in due else level) for each in receipt.expectations]
    _look(client, sorted(findings, key=lambda finding: -finding.expectation.size))
    return findings


def _look(client: RegistryClient, findings: Sequence[_Finding]) -> None:
    """Check items; the calling thread takes part in small requests, so that a registry far away is asked for several
    images at once."""
    checks = {each: _check_for(each.expectation, each.level) for each in findings}
    reads_layers = any(check is _blob_by_get and each.expectation.kind == 'layer' for each, check in checks.items())
    client.settings.in_parallel(lambda each: _run(checks[each], client, each), findings, helping=not reads_layers)


def _settle(client: RegistryClient, findings: Sequence[_Finding], settings: Settings) -> float:
    """Look again at items that are missing or different, while the registry has time to show what was just written to
    it.

    Returns after how many seconds the last of them became as expected, 0 if none did.
    """
    settle, last = SettleTime(settings), 0.0
    while (doubtful := [each for each in findings if each.is_doubtful]) and settle.again():
        for each in doubtful:
            each.forget()
        _look(client, doubtful)
        if not all(each.is_doubtful for each in doubtful):
            last = settle.passed
    return last


def _require_registry(client: RegistryClient, receipt: Receipt, odd: ServiceError, settings: Settings) -> float:
    """Raise `odd`, the reason why this seems not to be a registry, unless it is one; return how many seconds that took.
    """
    settle = SettleTime(settings)
    if _is_registry(client, receipt):
        return 0.0
    while settle.again():
        if _is_registry(client, receipt):
            return settle.passed
    raise odd


def _is_registry(client: RegistryClient, receipt: Receipt) -> bool:
    """Return whether this is a registry in spite of `/v2/`: it has a manifest, or a registry's error for it."""
    for expectation in receipt.of_kind('index', 'manifest')[:1]:
        reply = fetch_manifest(client, expectation.locator, client.address.pull_scope)
        if speaks_as_registry(reply) or Digest.of(reply.body, expectation.digest.algorithm) == expectation.digest:
            return True
    return False


def _check_for(expectation: Expectation, level: VerifyLevel) -> Check:
    """Return the check for an item: documents are always read, layers only at level full."""
    if expectation.kind in ('manifest', 'index'):
        return _manifest
    if expectation.kind == 'referrer':
        return _referrer
    return _blob_by_get if level is VerifyLevel.FULL or expectation.kind == 'config' else _blob_by_head


def _run(check: Check, client: RegistryClient, finding: _Finding) -> None:
    expectation, results = finding.expectation, finding.results
    if expectation.kind in ('config', 'layer') and expectation.locator != expectation.digest:
        results.differs(expectation, f'its locator must be {expectation.digest}, its only name in a registry')
        finding.is_final = True
        return
    try:
        check(client, expectation, results)
    except ImageNotFound as error:
        results.missing(expectation, str(error))
    except InvalidImage as error:
        results.differs(expectation, str(error))
        finding.is_final = expectation.kind == 'layer'
    except InternalServerError as error:
        finding.fault = str(error)
    except OccystrapError as error:
        results.unreachable(expectation, str(error))
    if any(each.digest == expectation.digest and each.proof is READ for each in results.observations):
        known, repository = KnownBlobs.of(client.address.host, client.settings), client.address.reference.repository
        known.add(repository, [expectation.digest])


def _summed_up(findings: Sequence[_Finding]) -> CheckResults:
    results = CheckResults()
    answered = any(finding.is_answer for finding in findings)
    for finding in findings:
        results.extend(finding.results)
        if finding.fault and answered:
            results.differs(finding.expectation, f'{finding.fault}, though the registry answers for other items')
        elif finding.fault:
            results.unreachable(finding.expectation, finding.fault)
    return results


def _manifest(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """GET the manifest by the name under which it was pushed."""
    found = _fresh(client, expectation)
    if found is None:
        reply = fetch_manifest(client, expectation.locator, client.address.pull_scope)
        if reply.status == 404:
            raise ImageNotFound(f'is not in {client.address.reference.name}')
        if reply.status != 200:
            raise client.failure(reply, f'cannot be read from {client.address.reference.name}')
        found = FreshDocument(reply.body, reply.headers.get('content-type', ''))
    results.read(expectation, found.raw)
    if Digest.of(found.raw, expectation.digest.algorithm) == expectation.digest:
        parse_manifest_or_index(found.raw, found.served_as or None)


def _fresh(client: RegistryClient, expectation: Expectation) -> FreshDocument | None:
    """Return the document, if it was just read in order to find the image."""
    documents = FreshDocuments.of(client.address.host, client.settings)
    return documents.take(client.address.reference.repository, expectation.locator)


def _referrer(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """Check that a manifest, which has an expectation of its own, is listed as a referrer of the locator.

    A receipt for another place may only identify the subject by the manifest itself.
    """
    subject: Digest | None = Digest(expectation.locator)
    if subject == expectation.digest:
        subject = subject_of(get_manifest(client, expectation.digest))
    listed = {entry.digest: entry for entry in list_referrers(client, subject)} if subject else {}
    if entry := listed.get(expectation.digest):
        results.found(expectation, digest=entry.digest, evidence=REPORTED)
    else:
        results.missing(expectation, f'{expectation.digest} is not listed as its referrer in '
                                     f'{client.address.reference.name}')


def _blob_by_head(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """Get the blob's size by HEAD or, where that does not work, by GET of one byte."""
    descriptor = Descriptor('', expectation.digest, expectation.size)
    seen, repository = SeenBlobs.of(client.address.host, client.settings), client.address.reference.repository
    size = seen.size(repository, expectation.digest, expectation.size, lambda: blob_size(client, descriptor))
    if size is not None:
        results.found(expectation, size=size, evidence=REPORTED)
    else:
        results.unreachable(expectation, f'{client.address.host} does not report its size: --verify=full reads it')


def _blob_by_get(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """GET the blob and hash it; for a config, report its content."""
    if expectation.kind == 'config' and (found := _fresh(client, expectation)):
        results.read(expectation, found.raw)
        return
    read, repository = ReadBlobs.of(client.address.host, client.settings), client.address.reference.repository
    descriptor, sends = Descriptor('', expectation.digest, expectation.size), read.sends(repository, expectation.digest)
    with ByteStream(BlobSource(client, descriptor), digest=expectation.digest, size=expectation.size,
                    what='the blob') as stream:
        stream.observe(lambda count: client.settings.cancellation.check())
        if expectation.kind == 'config' and expectation.size <= CONFIG_CAP:
            results.read(expectation, b''.join(bytes(chunk) for chunk in stream.chunks()))
        else:
            digest = stream.drain()
            results.found(expectation, size=stream.size, digest=digest, evidence=READ)
            read.note_read(repository, expectation.digest, sends)
