"""Verifying oci://: holds a bundle against a receipt, and knows nothing of the writer."""
from occystrap_core import CheckResults, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest, parse_object
from occystrap_dir.bundle.layout import ROOTFS
from occystrap_dir.checking import findings_of, is_there, unknown
from occystrap_dir.extraction.files_check import check_files
from occystrap_dir.names import file_size, read_document


def verify_bundle(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says.

    FAST holds config.json and the list of files against their digests, and the rootfs against the list; FULL hashes
    the content of every file as well, as the device has it.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    for expectation in receipt.expectations:
        with findings_of(expectation, results):
            _check(expectation, receipt.path, level, settings, results)
    return results


def _check(expected: Expectation, path: str, level: VerifyLevel, settings: Settings, results: CheckResults) -> None:
    if expected.kind == 'files':
        check_files(expected, path, ROOTFS, level is VerifyLevel.FULL, settings, results)
    elif expected.kind != 'runtime-config':
        unknown(expected, results)
    elif results.expect(expected, 'size in bytes', expected.size, file_size(path, expected.locator)):
        content = read_document(path, expected.locator, expected.size)
        if results.expect(expected, 'digest', expected.digest, Digest.of(content)):
            parse_object(content, f'{path}/{expected.locator}')
