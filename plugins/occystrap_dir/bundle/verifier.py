"""Verifying oci://: holds a bundle against a receipt, and knows nothing of the writer."""
import os

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest, parse_object
from occystrap_dir.bundle.layout import ROOTFS
from occystrap_dir.extraction.files_check import check_files
from occystrap_dir.names import WrongKind, file_size, read_document


def verify_bundle(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says.

    FAST holds config.json and the list of files against their digests, and the rootfs against the list; FULL hashes
    the content of every file as well, as the device has it.
    """
    results = CheckResults()
    if not os.path.isdir(receipt.path):
        results.error(receipt.destination, 'there is no such folder')
        return results
    for expectation in receipt.expectations:
        try:
            _check(expectation, receipt.path, level, settings, results)
        except (FileNotFoundError, NotADirectoryError):
            results.error(expectation, f'is missing, expected {expectation.size} bytes')
        except (WrongKind, InvalidImage) as error:
            results.error(expectation, str(error))
        except OSError as error:
            results.unverified(expectation, f'cannot be read: {error.strerror}')
    return results


def _check(expected: Expectation, path: str, level: VerifyLevel, settings: Settings, results: CheckResults) -> None:
    if expected.kind not in ('runtime-config', 'files'):
        results.unverified(expected, 'this version does not know how to check it')
        return
    if expected.kind == 'files':
        check_files(expected, path, ROOTFS, level is VerifyLevel.FULL, settings, results)
    elif results.expect(expected, 'size in bytes', expected.size, file_size(path, expected.locator)):
        content = read_document(path, expected.locator, expected.size)
        if results.expect(expected, 'digest', expected.digest, Digest.of(content)):
            parse_object(content, f'{path}/{expected.locator}')
