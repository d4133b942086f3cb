"""Holding a registry against a receipt: HEAD for what is large, GET for what is small, GET of everything for full."""
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from occystrap_core import (
    ByteStream, CheckResults, Expectation, ImageNotFound, InvalidImage, Location, OccystrapError, Receipt, Settings,
    VerifyLevel,
)
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.address import parse_address
from occystrap_registry.blobs import BlobSource, pull_scope
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import ACCEPT, read_capped

Check = Callable[[RegistryClient, Expectation, CheckResults], None]


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says; what cannot be asked is unverified."""
    options = {'insecure': receipt.options.get('insecure', '').lower() in ('true', 'yes', 'on', '1')}
    location = Location('registry', receipt.path, options, receipt.options)
    client = RegistryClient(parse_address(location, settings), settings)
    blobs = _blob_by_get if level is VerifyLevel.FULL else _blob_by_head
    results = CheckResults()
    try:
        with ThreadPoolExecutor(settings.jobs) as threads:
            checks = [(_manifest if each.kind == 'manifest' else blobs, each) for each in receipt.expectations]
            for found in threads.map(lambda check: _checked(check[0], client, check[1]), checks):
                results.extend(found)
    finally:
        client.close()
    return results


def _checked(check: Check, client: RegistryClient, expectation: Expectation) -> CheckResults:
    results = CheckResults()
    try:
        check(client, expectation, results)
    except (ImageNotFound, InvalidImage) as error:
        results.error(expectation, str(error))
    except OccystrapError as error:
        results.unverified(expectation, str(error))
    return results


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
