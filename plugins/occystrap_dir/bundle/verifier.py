"""Verifying oci://: compares a bundle with a receipt, independently of the writer."""
import os
from contextlib import suppress

from occystrap_core import CheckResults, Expectation, Receipt, Settings, VerifyLevel
from occystrap_dir.bundle.bundle_paths import CONFIG, FILES, KEPT, MARKS, ROOTFS
from occystrap_dir.extraction.privacy import check_privacy
from occystrap_dir.file_list.files_check import check_files
from occystrap_dir.workspace.file_errors import is_there, report_document, reporting, unknown
from occystrap_dir.workspace.partial_files import STATE

_ATTEMPTS = 3


def verify_bundle(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the bundle has of what the receipt expects.

    FAST compares digests of config.json and the list of files, and the rootfs with the list; FULL also hashes the
    content of every file, read from the device. A bundle that another run replaced meanwhile is looked at again.
    """
    for _ in range(_ATTEMPTS):
        before = _identity(receipt.path)
        results = _look(receipt, level, settings)
        if _identity(receipt.path) == before:
            break
    return results


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _look(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    for found in settings.in_parallel(lambda each: _seen(each, receipt.path, level, settings), receipt.expectations):
        results.extend(found)
    with suppress(FileNotFoundError):
        check_privacy(receipt, '', ['', CONFIG, FILES, KEPT, STATE, os.path.dirname(KEPT)], results)
    for name in sorted(set(os.listdir(receipt.path)) - set(MARKS)):
        results.error(name, 'exists, but occystrap did not write it: remove it')
    return results


def _seen(expected: Expectation, path: str, level: VerifyLevel, settings: Settings) -> CheckResults:
    results = CheckResults()
    with reporting(expected, results):
        _check(expected, path, level, settings, results)
    return results


def _check(expected: Expectation, path: str, level: VerifyLevel, settings: Settings, results: CheckResults) -> None:
    if expected.kind == 'files':
        check_files(expected, path, ROOTFS, level is VerifyLevel.FULL, settings, results)
    elif expected.kind == 'runtime-config':
        report_document(expected, path, results)
    else:
        unknown(expected, results)
