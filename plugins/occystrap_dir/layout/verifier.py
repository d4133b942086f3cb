"""Verifying layout://: compares a layout with a receipt, independently of the writer."""
import os
from collections.abc import Callable

from occystrap_core import CheckResults, Evidence, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.oci import (
    LAYOUT_FILE, LAYOUT_VERSION, MANIFEST_CAP, find_named, find_referrer, is_referrer_tag, require_version,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.workspace.file_errors import is_there, report_document, report_file, reporting, unknown
from occystrap_dir.workspace.names import file_size, read_document


def verify_layout(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the layout has of what the receipt expects.

    FAST looks the image up in index.json, and compares digests of manifests, indexes and configs, and sizes of layers;
    FULL hashes every blob, read from the device.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    check = LayoutCheck(receipt, level, settings)
    for found in settings.in_parallel(check.one, receipt.expectations):
        results.extend(found)
    return results


class LayoutCheck:
    """Checks the expectations of one receipt, one by one."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._root, self._receipt, self._level, self._settings = receipt.path, receipt, level, settings

    @property
    def _by_kind(self) -> dict[str, Callable[[Expectation, CheckResults], None]]:
        return {
            'layout': self._version, 'entry': self._entry, 'tag': self._tag, 'referrer': self._referrer,
            'manifest': self._document, 'index': self._document, 'config': self._document, 'layer': self._blob}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return what was found for one expectation."""
        results = CheckResults()
        with reporting(expectation, results, lambda error: _missing(expectation, error)):
            self._by_kind.get(expectation.kind, unknown)(expectation, results)
        return results

    def _version(self, expected: Expectation, results: CheckResults) -> None:
        """Check that the file has the right version, however it is formatted (image-spec image-layout.md)."""
        file_size(self._root, LAYOUT_FILE)
        require_version(read_document(self._root, LAYOUT_FILE, MANIFEST_CAP), self._root)
        if expected.locator == LAYOUT_FILE:
            results.read(expected, LAYOUT_VERSION)

    def _entry(self, expected: Expectation, results: CheckResults) -> None:
        """Find the expected entry; the rest of index.json changes with every image."""
        results.looked_up(expected, *read_index(self._root).find(expected.locator, expected.digest))

    def _tag(self, expected: Expectation, results: CheckResults) -> None:
        """Find the manifest of a name, for an image that another program may have written."""
        exact = 'tag' in self._receipt.options or is_referrer_tag(expected.locator)
        results.listed(expected, *find_named(read_index(self._root), LayoutStore(self._root).manifest, expected.locator,
                                             expected.digest, exact, '' if exact else self._receipt.source_name))

    def _referrer(self, expected: Expectation, results: CheckResults) -> None:
        """Find the entry of a referrer, which may be in a list under a tag."""
        results.listed(expected, *find_referrer(LayoutStore(self._root).manifest, read_index(self._root).manifests,
                                                expected.digest))

    def _document(self, expected: Expectation, results: CheckResults) -> None:
        report_document(expected, self._root, results)
        if self._level is VerifyLevel.FULL:
            self._blob(expected, results)

    def _blob(self, expected: Expectation, results: CheckResults) -> None:
        if expected.evidence is Evidence.BASE and LayoutStore(self._root).base(expected.digest):
            results.left_out(expected)
            return
        report_file(expected, self._root, self._level is VerifyLevel.FULL, self._settings, results)


def _missing(expected: Expectation, error: OSError) -> str:
    """Return the reason for a missing file; for an entry, which is not a file itself, name the file it should be in."""
    return '' if expected.kind != 'entry' else f'{os.path.basename(error.filename or "")} is missing'
