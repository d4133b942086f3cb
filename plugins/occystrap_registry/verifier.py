"""Holding a registry against a receipt: HEAD for what is large, GET for what is small, GET of everything for full."""
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from occystrap_core import (
    ByteStream, CheckResults, Expectation, ImageNotFound, InvalidImage, Location, OccystrapError, Outcome, Receipt,
    Settings, VerifyLevel,
)
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.address import parse_address
from occystrap_registry.blobs import BlobSource, pull_scope
from occystrap_registry.client import InternalServerError, RegistryClient
from occystrap_registry.documents import ACCEPT, read_capped

Check = Callable[[RegistryClient, Expectation, CheckResults], None]


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says; what cannot be asked is unverified.

    A registry that answers 500 for one item, again and again, while it answers for others, does not have that item in a
    form that it could ever give: that is a difference, not a question left open.
    """
    options = {'insecure': receipt.options.get('insecure', '').lower() in ('true', 'yes', 'on', '1')}
    location = Location('registry', receipt.path, options, receipt.options)
    client = RegistryClient(parse_address(location, settings), settings)
    try:
        with ThreadPoolExecutor(settings.jobs) as threads:
            checks = [(_check_for(each, level), each) for each in receipt.expectations]
            answers = list(threads.map(lambda check: _asked(check[0], client, check[1]), checks))
    finally:
        client.close()
    return _judged(answers)


def _check_for(expectation: Expectation, level: VerifyLevel) -> Check:
    """Return how to look at an item: small ones are always read, large ones with full."""
    if expectation.kind == 'manifest':
        return _manifest
    return _blob_by_get if level is VerifyLevel.FULL or expectation.kind == 'config' else _blob_by_head


@dataclass
class _Answer:
    """What was found of one item; `fault` is the 500 that was all the registry said."""

    expectation: Expectation
    results: CheckResults
    fault: str = ''


def _judged(answers: Sequence[_Answer]) -> CheckResults:
    results = CheckResults()
    answered = any(not answer.fault and not _is_unverified(answer.results) for answer in answers)
    for answer in answers:
        results.extend(answer.results)
        if answer.fault and answered:
            results.error(answer.expectation, f'{answer.fault}, though the registry answers for other items')
        elif answer.fault:
            results.unverified(answer.expectation, answer.fault)
    return results


def _is_unverified(results: CheckResults) -> bool:
    return results.outcome is Outcome.UNVERIFIED


def _asked(check: Check, client: RegistryClient, expectation: Expectation) -> _Answer:
    answer = _Answer(expectation, CheckResults())
    try:
        check(client, expectation, answer.results)
    except (ImageNotFound, InvalidImage) as error:
        answer.results.error(expectation, str(error))
    except InternalServerError as error:
        answer.fault = str(error)
    except OccystrapError as error:
        answer.results.unverified(expectation, str(error))
    return answer


def _manifest(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """GET the manifest by the name under which it was put, and compare every byte by its digest."""
    repository = client.address.repository
    target = f'/v2/{repository}/manifests/{expectation.locator}'
    with client.request('GET', target, pull_scope(repository), {'Accept': ACCEPT}) as response:
        if response.status_code != 200:
            client.fail(response, f'{client.address.reference.name} does not give it')
        raw = read_capped(response.iter_raw(), 'it')
    if results.expect(expectation, 'digest', expectation.digest, Digest.of(raw)):
        results.expect(expectation, 'size', expectation.size, len(raw))


def _blob_by_head(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """HEAD the blob and compare its length."""
    repository = client.address.repository
    target = f'/v2/{repository}/blobs/{expectation.digest}'
    with client.request('HEAD', target, pull_scope(repository)) as response:
        if response.status_code != 200:
            client.fail(response, f'{client.address.reference.name} does not have it')
        results.expect(expectation, 'size', str(expectation.size), response.headers.get('content-length'))


def _blob_by_get(client: RegistryClient, expectation: Expectation, results: CheckResults) -> None:
    """GET the blob and hash it."""
    descriptor = Descriptor('', expectation.digest, expectation.size)
    with ByteStream(BlobSource(client, descriptor), digest=expectation.digest, size=expectation.size,
                    what='it') as stream:
        stream.drain()
