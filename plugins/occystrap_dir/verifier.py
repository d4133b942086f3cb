"""Verifying dir://: holds a folder against a receipt, and knows nothing of the writer."""
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_dir.catalog import CATALOG, parse_catalog
from occystrap_dir.checking import device_digest, findings_of, is_there, unknown
from occystrap_dir.checksums import digests_of, read_checksums
from occystrap_dir.expansion import expanded_name
from occystrap_dir.extraction.files_check import check_files
from occystrap_dir.locks import shared_if_there
from occystrap_dir.manifests import CAP, read_manifest
from occystrap_dir.names import file_size, read_document
from occystrap_dir.workspace import STATE


def verify_dir(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says, in the order of the receipt.

    FAST holds manifest and config against their digests, the layers against their sizes, and looks the image up in the
    catalog and in SHA256SUMS; FULL also hashes each layer, as the device has it.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    check = FolderCheck(receipt, level, settings)
    with ThreadPoolExecutor(settings.jobs, 'verify') as pool:
        for found in pool.map(check.one, receipt.expectations):
            results.extend(found)
    return results


class FolderCheck:
    """Checks the expectations of one receipt, each by itself."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._root, self._receipt, self._level, self._settings = receipt.path, receipt, level, settings
        self._by_kind: dict[str, Callable[[Expectation, CheckResults], None]] = {
            'manifest': self._manifest, 'config': self._config, 'layer': self._layer, 'catalog': self._catalog,
            'files': self._files, 'checksums': self._checksums}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return the findings about one thing."""
        results = CheckResults()
        with findings_of(expectation, results):
            self._by_kind.get(expectation.kind, unknown)(expectation, results)
        return results

    def _manifest(self, expected: Expectation, results: CheckResults) -> None:
        self._document(expected, results)
        if not results.has_errors:
            read_manifest(self._root, expected.locator)

    def _config(self, expected: Expectation, results: CheckResults) -> None:
        self._document(expected, results)
        if expected.digest != self._receipt.image_id:
            results.error(expected, f'is not that of the image that the receipt is of, {self._receipt.image_id}')

    def _document(self, expected: Expectation, results: CheckResults) -> None:
        """Read a small document whole and hold it against size and digest."""
        if self._has_size(expected, results):
            content = read_document(self._root, expected.locator, expected.size)
            results.expect(expected, 'digest', expected.digest, Digest.of(content))

    def _layer(self, expected: Expectation, results: CheckResults) -> None:
        if self._has_size(expected, results) and self._level is VerifyLevel.FULL:
            digest = device_digest(self._root, expected.locator, self._settings)
            results.expect(expected, 'digest', expected.digest, digest)
        if expected.digest not in self._receipt.diff_ids:
            results.error(expected, 'is not among the layers that the receipt lists for its image')

    def _catalog(self, expected: Expectation, results: CheckResults) -> None:
        """Find the entry that the receipt tells of; the catalog as a whole changes with every image."""
        file_size(self._root, expected.locator)
        what = f'{self._root}/{expected.locator}'
        catalog = parse_catalog(read_document(self._root, expected.locator, CAP), what)
        manifests = {manifest.locator for manifest in self._receipt.of_kind('manifest')}
        named = [entry for entry in catalog if entry.manifest in manifests]
        if not any(Digest.of(entry.canonical()) == expected.digest for entry in named):
            results.error(expected, f'does not list {self._receipt.reference} with {" ".join(manifests)}')
        for entry in named:
            if Digest.of(entry.canonical()) != expected.digest:
                results.error(expected, f'lists {entry} with {entry.manifest}, expected only {self._receipt.reference}')

    def _checksums(self, expected: Expectation, results: CheckResults) -> None:
        """Find the lines of this image's files and the catalog's; no writer is between catalog and checksums then."""
        with shared_if_there(f'{self._root}/{STATE}/lock'):
            file_size(self._root, expected.locator)
            listed, there = read_checksums(self._root), digests_of(self._receipt)
            with suppress(FileNotFoundError, InvalidImage):  # of which the catalog's own check tells
                there[CATALOG] = Digest.of(read_document(self._root, CATALOG, CAP))
        for name, digest in there.items():
            if name not in listed:
                results.error(expected, f'does not list {name}')
            else:
                results.expect(expected, f'what it says of {name}', digest, listed[name])

    def _files(self, expected: Expectation, results: CheckResults) -> None:
        """Look at what the image was unpacked to."""
        for manifest in self._receipt.of_kind('manifest'):
            check_files(expected, self._root, expanded_name(manifest.locator), self._level is VerifyLevel.FULL,
                        self._settings, results)

    def _has_size(self, expected: Expectation, results: CheckResults) -> bool:
        return results.expect(expected, 'size in bytes', expected.size, file_size(self._root, expected.locator))
