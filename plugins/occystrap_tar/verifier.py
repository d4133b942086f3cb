"""Comparing an archive with a receipt: all headers are read; small members, with full verification all members, are
hashed."""
import os
import stat
from collections.abc import Collection
from typing import NamedTuple

from occystrap_core import READ, CheckResults, Evidence, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.files import (
    MAGIC_SIZE, ByteStream, DeviceFile, ImageError, detect_compression, forget_cached, hash_file,
)
from occystrap_core.oci import (
    CONFIG_CAP, INDEX_FILE, MANIFEST_CAP, Compression, Digest, IndexFile, blob_name, blobs_below, find_named,
    find_referrer, is_referrer_tag, left_out_by,
)
from occystrap_tar.archive.members import Member, WrittenArchive
from occystrap_tar.archive.oci_archive import ArchiveStore

_MEMBERS = ('manifest', 'index', 'config', 'layer', 'layout')


class _Contents(NamedTuple):
    """The content of an archive, read once a run for all its receipts."""

    archive: WrittenArchive
    findings: CheckResults
    """What is wrong with the archive as a whole."""
    listed: IndexFile | str
    """Its index.json, or in words why there is none."""
    unnamed: Collection[str]
    """Members that belong to no image in index.json."""
    left_out: Collection[Digest]
    """The blobs that index.json lists as left out."""
    for_readers: CheckResults
    """Why programs could not read the archive, perhaps another program's, or would read different images from it."""


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the archive has of what the receipt expects, and what else it has."""
    results = CheckResults()
    if receipt.path == '-':
        results.unverified('stdout', 'it cannot be read back: compare its digest where it went, or use --no-verify')
        return results
    contents = _opened(receipt.path, level, settings, results)
    if contents is None:
        return results
    if receipt.by_digest:
        results.extend(contents.for_readers)
        if not receipt.keeps_manifests:
            from occystrap_tar.archive.image_check import ImageCheck  # late: for what another program wrote
            results.extend(ImageCheck(contents.archive, receipt, level, settings).run())
            return results
        if isinstance(contents.listed, str):
            results.error(receipt.path, f'is not an OCI archive: {contents.listed}')
    else:
        results.extend(contents.findings)
        _check_names(contents, receipt, results)
    settings.in_parallel(lambda each: _look(contents, each, receipt, level, results), receipt.expectations)
    return results


def _opened(path: str, level: VerifyLevel, settings: Settings, results: CheckResults) -> _Contents | None:
    """Return the archive after checking its structure; report an error and return None if it cannot be read as one."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for a writer
            results.error(path, 'is not a regular file')
            return None
        state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        contents = settings.shared.get((_Contents, path, level, state), lambda: _contents(path, level))
        if not contents.archive.counts:
            packed = _compression(path)
            if packed is Compression.NONE:
                results.extend(contents.findings)
            else:
                results.unverified(path, f'is {packed.text}: decompress it first, since its own bytes are compared')
            return None
        return contents
    except FileNotFoundError:
        results.error(path, 'does not exist')
    except NotADirectoryError as error:
        results.error(path, f'is not an archive: {error.strerror}')
    except OSError as error:
        results.unverified(path, f'cannot be read: {error.strerror}')
    return None


def _compression(path: str) -> Compression:
    with open(path, 'rb') as file:
        return detect_compression(file.read(MAGIC_SIZE))


def _contents(path: str, level: VerifyLevel) -> _Contents:
    """Read headers, padding, end and index.json; raises OSError."""
    if level is VerifyLevel.FULL:
        _forget_cached(path)
    archive, findings = WrittenArchive(path), CheckResults()
    _check_structure(archive, findings)
    listed = _listed(archive, findings)
    _check_counts(archive, findings)
    return _Contents(archive, findings, listed, _unnamed(archive, listed), _left_out(listed), _for_readers(archive))


def _listed(archive: WrittenArchive, findings: CheckResults) -> IndexFile | str:
    if INDEX_FILE not in archive.members:
        return f'{INDEX_FILE} is missing'
    try:
        raw = archive.read(INDEX_FILE, MANIFEST_CAP)
        index = IndexFile.parse(raw, INDEX_FILE)
        if IndexFile.listing(index.entries).to_json() != raw:
            findings.error(INDEX_FILE, f'is not as occystrap writes it in {archive.path}')
        return index
    except (ImageError, ValueError) as error:
        return str(error)


def _unnamed(archive: WrittenArchive, listed: IndexFile | str) -> Collection[str]:
    """Return members that belong to no image; if a damaged manifest may refer to any blob, only other files."""
    others = set(archive.counts) - {INDEX_FILE}
    try:
        entries = () if isinstance(listed, str) else listed.manifests
        return others - set(map(blob_name, blobs_below(ArchiveStore(archive).manifest, entries)))
    except ImageError:
        return {name for name in others if not name.startswith('blobs/')}


def _left_out(listed: IndexFile | str) -> Collection[Digest]:
    try:
        return () if isinstance(listed, str) else left_out_by(listed.manifests)
    except ImageError:  # its entry differs from what is expected, which is reported
        return ()


def _forget_cached(path: str) -> None:
    """Drop the page cache, so that headers, padding and end are read from the device; raises OSError."""
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
        cut = 'is cut off: it ' if archive.behind < 0 else ''
        results.error(archive.path, f'{cut}does not end with two zero blocks right after its last member')
    elif archive.behind:
        results.error(archive.path, f'has {archive.behind} bytes behind its end, which occystrap did not write')
    for name in archive.odd:
        results.error(name, f'has another header in {archive.path} than it was written with')
    for name in archive.with_dirty_padding():
        results.error(name, f'is not followed by zeros up to the next block in {archive.path}')


def _check_counts(archive: WrittenArchive, results: CheckResults) -> None:
    """Report names that several members have, since programs read different ones of them."""
    for name, count in archive.counts.items():
        if count > 1:
            results.error(name, f'is {count} times in {archive.path}')


def _for_readers(archive: WrittenArchive) -> CheckResults:
    results = CheckResults()
    if archive.trouble or not archive.has_end:
        results.error(archive.path, archive.trouble.removeprefix(f'{archive.path} ')
                      or 'does not end with two zero blocks')
    _check_counts(archive, results)
    if not archive.has_both_lists:
        return results
    from occystrap_tar.archive.two_lists import require_agreement  # late, as few archives have both
    try:
        require_agreement(archive)
    except InvalidImage as error:
        results.error(archive.path, str(error).removeprefix(f'{archive.name}: '))
    return results


def _check_names(contents: _Contents, receipt: Receipt, results: CheckResults) -> None:
    """Report members that are not expected and, if the archive lists images, do not belong to another image."""
    expected = {each.locator for each in receipt.expectations}
    path, shared = contents.archive.path, receipt.of_kind('entry')
    for name in sorted(set(contents.unnamed if shared else contents.archive.counts) - expected):
        results.error(name, f'is in {path}, but occystrap did not write it')


def _look(contents: _Contents, expectation: Expectation, receipt: Receipt, level: VerifyLevel, results: CheckResults,
          ) -> None:
    """Report a member's size and digest; the digest of a layer with full verification only."""
    archive = contents.archive
    member = archive.members.get(expectation.locator)
    if expectation.kind in ('entry', 'tag', 'referrer'):
        _look_up(contents, expectation, receipt, results)
    elif expectation.kind not in _MEMBERS:
        results.unreachable(expectation, 'this version does not know how to check it')
    elif member is None and expectation.evidence is Evidence.BASE and expectation.digest in contents.left_out:
        results.left_out(expectation)
    elif member is None:
        trouble = ', which is cut off or damaged' if archive.trouble or not archive.has_end else ''
        results.missing(expectation, f'is not in {archive.path}{trouble}')
    elif member.size != expectation.size or (expectation.kind == 'layer' and level is not VerifyLevel.FULL):
        results.found(expectation, size=member.size, evidence=READ)
    else:
        try:
            _read(archive, member, expectation, results)
        except OSError as error:
            results.unreachable(expectation, f'cannot be read: {error.strerror}')


def _look_up(contents: _Contents, expected: Expectation, receipt: Receipt, results: CheckResults) -> None:
    """Report what index.json says about the image; other entries belong to other images."""
    listed, manifest = contents.listed, ArchiveStore(contents.archive).manifest
    if isinstance(listed, str):
        results.missing(expected, listed)
    elif expected.kind == 'entry':
        results.looked_up(expected, *listed.find(expected.locator, expected.digest))
    elif expected.kind == 'referrer':
        results.listed(expected, *find_referrer(manifest, listed.manifests, expected.digest))
    else:
        exact = 'tag' in receipt.options or is_referrer_tag(expected.locator)
        results.listed(expected, *find_named(listed, manifest, expected.locator, expected.digest, exact,
                                             '' if exact else receipt.source_name))


def _read(archive: WrittenArchive, member: Member, expectation: Expectation, results: CheckResults) -> None:
    if expectation.kind == 'layer' or member.size > CONFIG_CAP:
        digest, size = hash_file(archive.path, member.offset, member.size, expectation.digest.algorithm)
        results.found(expectation, size=size, digest=digest, evidence=READ)
    else:
        with ByteStream(DeviceFile(archive.path, member.offset, member.size), what=expectation.locator) as stream:
            results.read(expectation, b''.join(bytes(chunk) for chunk in stream.chunks()))
