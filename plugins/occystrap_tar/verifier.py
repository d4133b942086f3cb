"""Holding an archive against a receipt: its headers read afresh, small members hashed, with full all of them."""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel, hash_file
from occystrap_tar.members import Archive


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says."""
    results = CheckResults()
    archive = _opened(receipt.path, results)
    if archive is None:
        return results
    if not archive.has_end:
        results.error(receipt.path, 'does not end with two zero blocks right after its last member')
    _check_names(archive, receipt, results)
    for name in archive.with_dirty_padding():
        results.error(name, f'has other bytes than zeros behind it in {archive.path}')
    wanted = [each for each in receipt.expectations if _is_there(archive, each, results)]
    hashed = [each for each in wanted if level is VerifyLevel.FULL or each.kind != 'layer']
    with ThreadPoolExecutor(settings.jobs) as threads:
        for found in threads.map(lambda each: _hashed(archive, each), hashed):
            results.extend(found)
    return results


def _opened(path: str, results: CheckResults) -> Archive | None:
    try:
        return Archive(path)
    except FileNotFoundError:
        results.error(path, 'is not there')
    except InvalidImage as error:
        results.error(path, str(error))
    except OSError as error:
        results.unverified(path, f'cannot be read: {error.strerror}')
    return None


def _check_names(archive: Archive, receipt: Receipt, results: CheckResults) -> None:
    """Every member is expected, and none is there twice."""
    expected = {each.locator for each in receipt.expectations}
    for name in sorted(set(archive.names) - expected):
        results.error(name, f'is in {archive.path} but nobody wrote it')
    for name, count in Counter(archive.names).items():
        if count > 1:
            results.error(name, f'is {count} times in {archive.path}')


def _is_there(archive: Archive, expectation: Expectation, results: CheckResults) -> bool:
    member = archive.members.get(expectation.locator)
    if member is None:
        results.error(expectation, f'is not in {archive.path}')
        return False
    return results.expect(expectation, 'size', expectation.size, member.size)


def _hashed(archive: Archive, expectation: Expectation) -> CheckResults:
    results = CheckResults()
    member = archive.members[expectation.locator]
    try:
        digest, _ = hash_file(archive.path, member.offset, member.size)
    except OSError as error:
        results.unverified(expectation, f'cannot be read: {error.strerror}')
    else:
        results.expect(expectation, 'digest', expectation.digest, digest)
    return results
