"""Verifying dir://: holds a directory against a receipt, and knows nothing of the writer."""
from collections.abc import Callable
from contextlib import suppress

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_dir.directory.catalog import CATALOG, parse_catalog
from occystrap_dir.directory.checksums import digests_of, read_checksums, write_checksums
from occystrap_dir.directory.expansion import TREES, expanded_name
from occystrap_dir.directory.manifests import CAP
from occystrap_dir.extraction.files_check import check_files
from occystrap_dir.extraction.privacy import check_privacy
from occystrap_dir.workspace.file_errors import is_there, report_document, report_file, reporting, unknown
from occystrap_dir.workspace.locks import shared_if_exists
from occystrap_dir.workspace.names import file_size, read_document
from occystrap_dir.workspace.workspace import LOCK, RECEIPTS, STATE


def verify_dir(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what is there of what the receipt expects.

    FAST holds manifest and config against their digests, the layers against their sizes, and looks the image up in the
    catalog and in SHA256SUMS; FULL also hashes each layer, as the device has it.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    _require_options(receipt, results)
    check = DirectoryCheck(receipt, level, settings)
    for found in settings.in_parallel(check.one, receipt.expectations):
        results.extend(found)
    if receipt.of_kind('files'):
        names = [each.locator for each in receipt.expectations]
        with suppress(FileNotFoundError):
            check_privacy(receipt, '', ['', STATE, RECEIPTS, TREES, *names], results)
    return results


def _require_options(receipt: Receipt, results: CheckResults) -> None:
    """Note it when a receipt does not expect what the options that it names ask for."""
    for option, kind in (('expand', 'files'), ('checksums', 'checksums')):
        asked = receipt.options.get(option, '').lower() in ('true', 'yes', 'on', '1')
        if asked and not receipt.of_kind(kind):
            results.unverified(receipt.destination, f'the receipt says {option}=true and expects no {kind}')


class DirectoryCheck:
    """Checks the expectations of one receipt, each by itself."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._root, self._receipt, self._level, self._settings = receipt.path, receipt, level, settings
        self._by_kind: dict[str, Callable[[Expectation, CheckResults], None]] = {
            'manifest': self._document, 'config': self._document, 'layer': self._layer, 'catalog': self._catalog,
            'files': self._files, 'checksums': self._checksums}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return what was seen of one thing."""
        results = CheckResults()
        with reporting(expectation, results):
            self._by_kind.get(expectation.kind, unknown)(expectation, results)
        return results

    def _document(self, expected: Expectation, results: CheckResults) -> None:
        report_document(expected, self._root, results)

    def _layer(self, expected: Expectation, results: CheckResults) -> None:
        report_file(expected, self._root, self._level is VerifyLevel.FULL, self._settings, results)

    def _catalog(self, expected: Expectation, results: CheckResults) -> None:
        """Find the entry that the receipt tells of; the catalog as a whole changes with every image."""
        file_size(self._root, expected.locator)
        what = f'{self._root}/{expected.locator}'
        catalog = parse_catalog(read_document(self._root, expected.locator, CAP), what)
        manifests = {manifest.locator for manifest in self._receipt.of_kind('manifest')}
        named = [entry for entry in catalog if entry.manifest in manifests]
        if not any(Digest.of(entry.canonical()) == expected.digest for entry in named):
            results.missing(expected, f'does not list {self._receipt.reference} with {" ".join(manifests)}')
        for entry in named:
            if Digest.of(entry.canonical()) == expected.digest:
                results.read(expected, entry.canonical())
            else:
                results.differs(expected, f'lists {entry} with {entry.manifest}, expected only '
                                          f'{self._receipt.reference}')

    def _checksums(self, expected: Expectation, results: CheckResults) -> None:
        """Find the lines of this image's files and the catalog's; no writer is between catalog and checksums then."""
        with shared_if_exists(self._root, LOCK):
            file_size(self._root, expected.locator)
            listed, mine = read_checksums(self._root), digests_of(self._receipt)
            with suppress(FileNotFoundError, InvalidImage):  # of which the catalog's own check tells
                mine[CATALOG] = Digest.of(read_document(self._root, CATALOG, CAP))
        wrong = [name for name, digest in mine.items() if listed.get(name) != digest]
        for name in wrong:
            results.differs(expected, f'what it says of {name} is {listed[name]}, expected {mine[name]}'
                            if name in listed else f'does not list {name}')
        if not wrong:
            results.read(expected, write_checksums({name: listed[name] for name in digests_of(self._receipt)}))

    def _files(self, expected: Expectation, results: CheckResults) -> None:
        """Look at what the image was unpacked to."""
        for manifest in self._receipt.of_kind('manifest'):
            check_files(expected, self._root, expanded_name(manifest.locator), self._level is VerifyLevel.FULL,
                        self._settings, results)
