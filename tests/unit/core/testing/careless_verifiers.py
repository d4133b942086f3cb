"""Verifiers as a hurried author makes them: the example's, changed in one place."""
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from occystrap_core import READ, CheckResults, Expectation, Receipt, VerifyLevel
from occystrap_core.files import hash_file
from occystrap_core.oci import Digest
from occystrap_core.verification.results import Presence
from tests.unit.core.testing.wrong_verifiers import right

Verifier = Callable[[Receipt, VerifyLevel], CheckResults]


def _follows_links(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        path = os.path.join(receipt.path, each.locator)
        if os.path.isfile(path):
            results.found(each, size=os.path.getsize(path), digest=hash_file(os.path.realpath(path))[0], evidence=READ)
        else:
            results.missing(each)
    return results


def _calls_what_is_missing_unreachable(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    found, results = right(receipt, level), CheckResults()
    results.observations = [each for each in found.observations if each.presence is not Presence.MISSING]
    for each in found.observations:
        if each.presence is Presence.MISSING:
            results.unreachable(each.expectation, 'cannot be read')
    return results


_good: dict[str, CheckResults] = {}
_hashed: dict[tuple[str, int, int], Digest] = {}


def _keeps_good_results(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = right(receipt, level)
    key = f'{level} {receipt.to_json()}'
    if all((each.digest or each.expectation.digest, each.size) == (each.expectation.digest, each.expectation.size)
           for each in results.observations):
        _good.setdefault(key, results)
    return _good.get(key, results)


def _keeps_digests(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    """Hashes a file again if its size or its time has changed."""
    found = right(receipt, VerifyLevel.FAST)
    results = CheckResults()
    for each in found.observations:
        if each.presence is not Presence.FOUND:
            results.observations.append(each)
            continue
        path = os.path.join(receipt.path, each.expectation.locator)
        status = os.stat(path)
        key = path, status.st_size, status.st_mtime_ns
        _hashed[key] = _hashed.get(key) or hash_file(path)[0]
        results.found(each.expectation, size=status.st_size, digest=_hashed[key], evidence=READ)
    return results


def _reads_all_for_fast(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    return right(receipt, VerifyLevel.FULL)


def _prints(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    print(f'verifying {receipt.path}')
    return right(receipt, level)


def _works_in_the_directory(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    before = os.getcwd()
    if os.path.isdir(receipt.path):
        os.chdir(receipt.path)
    try:
        return right(receipt, level)
    finally:
        os.chdir(before)


def _leaves_files_open(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = right(receipt, level)
    for each in results.observations:
        if each.presence is Presence.FOUND:
            os.open(os.path.join(receipt.path, each.expectation.locator), os.O_RDONLY)
    return results


def _first_layer_only(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results, layers = CheckResults(), [each for each in receipt.expectations if each.kind == 'layer']
    results.observations = [each for each in right(receipt, level).observations if each.expectation not in layers[1:]]
    for each in layers[1:]:
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    return results


def _trusts_its_marker(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    if os.path.exists(os.path.join(receipt.path, 'config.json')):
        return _echo(receipt.expectations)
    return right(receipt, level)


def _echo(expected: tuple[Expectation, ...]) -> CheckResults:
    results = CheckResults()
    for each in expected:
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    return results


_shared = CheckResults()


def _collects_all_results(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    """Has one list of results for all images."""
    _shared.observations = right(receipt, level).observations
    return _shared


def _stays_where_it_wrote(paths: dict[Digest, str], receipt: Receipt, level: VerifyLevel) -> CheckResults:
    """Reads the path from a file that the writer has, not from the receipt: the first place of an image."""
    path = paths.setdefault(receipt.image_id, receipt.path)
    return right(receipt.at(path) if Path(path).exists() else receipt, level)


CARELESS: dict[str, Verifier] = {
    'follows-links': _follows_links, 'missing-is-unreachable': _calls_what_is_missing_unreachable,
    'keeps-good-results': _keeps_good_results, 'keeps-digests': _keeps_digests,
    'reads-all-for-fast': _reads_all_for_fast, 'prints': _prints, 'changes-directory': _works_in_the_directory,
    'leaves-files-open': _leaves_files_open, 'first-layer-only': _first_layer_only,
    'trusts-its-marker': _trusts_its_marker, 'collects-results': _collects_all_results,
    'stays-where-it-wrote': partial(_stays_where_it_wrote, {})}
