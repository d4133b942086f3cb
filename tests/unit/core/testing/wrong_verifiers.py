"""Verifiers with one flaw each: the example's, changed in one place."""
import os
from collections.abc import Callable
from pathlib import Path

from occystrap_flat import verifier

from occystrap_core import READ, CheckResults, Receipt, Settings, VerifyLevel
from occystrap_core.verification.results import Presence


def _always_yes(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        results.found(each, size=each.size, digest=each.digest, evidence=READ)
    return results


def _sizes_only(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = CheckResults()
    for each in receipt.expectations:
        if os.path.isfile(path := os.path.join(receipt.path, each.locator)):
            results.found(each, size=os.path.getsize(path), digest=each.digest, evidence=READ)
        else:
            results.missing(each)
    return results


def _silent_of_layers(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    results = right(receipt, level)
    results.observations = [each for each in results.observations if each.expectation.kind != 'layer']
    return results


def _crashes(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    os.listdir(receipt.path)
    for each in receipt.expectations:
        os.stat(os.path.join(receipt.path, each.locator))
    return right(receipt, level)


written_here: set[str] = set()


def _remembers(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    return right(receipt, level) if receipt.path in written_here else CheckResults()


def _calls_what_it_may_not_read_damaged(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    found = right(receipt, level)
    results = CheckResults()
    results.observations = [each for each in found.observations if not each.reason]
    for each in found.observations:
        if each.reason:
            results.differs(each.expectation, each.reason)
    return results


def _changes_things(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    Path(receipt.path, 'verified').touch()
    return right(receipt, level)


def _overlooks_more(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    """Takes the size from the receipt if the file has at least so many bytes."""
    found = right(receipt, VerifyLevel.FAST)
    results = CheckResults()
    for each in found.observations:
        if each.presence is not Presence.FOUND:
            results.missing(each.expectation)
            continue
        content = Path(receipt.path, each.expectation.locator).read_bytes()[:each.expectation.size]
        results.found(each.expectation, size=len(content), digest=type(receipt.image_id).of(content), evidence=READ)
    return results


def right(receipt: Receipt, level: VerifyLevel) -> CheckResults:
    return verifier.verify(receipt, level, Settings())


VERIFIERS: dict[str, Callable[[Receipt, VerifyLevel], CheckResults]] = {
    'always-yes': _always_yes, 'sizes-only': _sizes_only, 'silent-of-layers': _silent_of_layers, 'crashes': _crashes,
    'remembers': _remembers, 'changes-things': _changes_things, 'overlooks-more': _overlooks_more,
    'damaged-for-unreadable': _calls_what_it_may_not_read_damaged}
