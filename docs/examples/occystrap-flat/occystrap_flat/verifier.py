"""Verifying what the writer of flat:// wrote, from its receipt alone."""
import os
import stat
from functools import partial

from occystrap_core import READ, CheckResults, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.files import hash_file


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is there of each thing that the receipt expects; several files are read at once."""
    results = CheckResults()
    settings.in_parallel(partial(_observe, receipt.path, level, results), receipt.expectations)
    return results


def _observe(root: str, level: VerifyLevel, results: CheckResults, expected: Expectation) -> None:
    """Report one file: its size, and its digest where the level needs that; never what is only expected."""
    path = os.path.join(root, expected.locator)
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            results.differs(expected, 'is not a file')
            return
        must_read = level is VerifyLevel.FULL or expected.kind == 'config'
        digest = hash_file(path)[0] if must_read else None  # past the page cache
        results.found(expected, size=status.st_size, digest=digest, evidence=READ)
    except (FileNotFoundError, NotADirectoryError):
        results.missing(expected)
    except OSError as error:
        results.unreachable(expected, f'cannot be read: {error.strerror}')
