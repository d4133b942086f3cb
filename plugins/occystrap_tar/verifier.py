"""Comparing an archive with a receipt: all headers are read, small members hashed, with full verification all."""
import os
import stat

from occystrap_core import READ, CheckResults, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.files import ByteStream, DeviceFile, forget_cached, hash_file
from occystrap_core.oci import MANIFEST_CAP
from occystrap_tar.archive.members import Member, WrittenArchive

_KINDS = ('manifest', 'index', 'config', 'layer', 'layout')


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the archive has of what the receipt expects, and what else it has."""
    results = CheckResults()
    archive = _opened(receipt.path, level, results)
    if archive is None:
        return results
    _check_names(archive, receipt, results)
    settings.in_parallel(lambda each: _look(archive, each, level, results), receipt.expectations)
    return results


def _opened(path: str, level: VerifyLevel, results: CheckResults) -> WrittenArchive | None:
    """Return the archive, its structure checked; report an error and return None if it cannot be read as one."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer
            results.error(path, 'is not a regular file')
            return None
        if level is VerifyLevel.FULL:
            _forget_cached(path)
        archive = WrittenArchive(path)
        _check_structure(archive, results)
        return archive if archive.counts else None
    except FileNotFoundError:
        results.error(path, 'does not exist')
    except (IsADirectoryError, NotADirectoryError) as error:
        results.error(path, f'is not an archive: {error.strerror}')
    except OSError as error:
        results.unverified(path, f'cannot be read: {error.strerror}')
    return None


def _forget_cached(path: str) -> None:
    """Make headers, padding and end be read from the device as well; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        forget_cached(descriptor)
    finally:
        os.close(descriptor)


def _check_structure(archive: WrittenArchive, results: CheckResults) -> None:
    """Report blocks outside of members' data that the writer would not have written."""
    if archive.trouble:
        results.error(archive.path, archive.trouble.removeprefix(f'{archive.path} '))
    elif not archive.has_end:
        results.error(archive.path, 'does not end with two zero blocks right after its last member')
    elif archive.behind:
        results.error(archive.path, f'has {archive.behind} bytes behind its end, which occystrap did not write')
    for name in archive.odd:
        results.error(name, f'has another header in {archive.path} than it was written with')
    for name in archive.with_dirty_padding():
        results.error(name, f'is not followed by zeros up to the next block in {archive.path}')


def _check_names(archive: WrittenArchive, receipt: Receipt, results: CheckResults) -> None:
    """Report members that are not expected, and names that several members have."""
    expected = {each.locator for each in receipt.expectations}
    for name in sorted(set(archive.counts) - expected):
        results.error(name, f'is in {archive.path}, but occystrap did not write it')
    for name, count in archive.counts.items():
        if count > 1:
            results.error(name, f'is {count} times in {archive.path}')


def _look(archive: WrittenArchive, expectation: Expectation, level: VerifyLevel, results: CheckResults) -> None:
    """Report a member's size and digest; the digest of a layer with full verification only."""
    member = archive.members.get(expectation.locator)
    if expectation.kind not in _KINDS:
        results.unreachable(expectation, 'this version does not know how to check it')
    elif member is None:
        results.missing(expectation, f'is not in {archive.path}')
    elif member.size != expectation.size or (expectation.kind == 'layer' and level is not VerifyLevel.FULL):
        results.found(expectation, size=member.size, evidence=READ)
    else:
        try:
            _read(archive, member, expectation, results)
        except OSError as error:
            results.unreachable(expectation, f'cannot be read: {error.strerror}')


def _read(archive: WrittenArchive, member: Member, expectation: Expectation, results: CheckResults) -> None:
    if expectation.kind == 'layer' or member.size > MANIFEST_CAP:
        digest, size = hash_file(archive.path, member.offset, member.size, expectation.digest.algorithm)
        results.found(expectation, size=size, digest=digest, evidence=READ)
    else:
        with ByteStream(DeviceFile(archive.path, member.offset, member.size), what=expectation.locator) as stream:
            results.read(expectation, b''.join(bytes(chunk) for chunk in stream.chunks()))
