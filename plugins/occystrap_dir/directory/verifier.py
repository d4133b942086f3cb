"""Verifying dir://: compares a directory with a receipt, independently of the writer."""
from collections.abc import Callable
from contextlib import suppress

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_dir.directory.catalog import CATALOG, known_catalog, parse_catalog
from occystrap_dir.directory.checksums import CHECKSUMS, digests_of, read_checksums, write_checksums
from occystrap_dir.directory.expanded_files import TREES, expanded_name, tree_name
from occystrap_dir.directory.manifests import CAP, read_manifest
from occystrap_dir.workspace.file_errors import is_there, report_document, report_file, reporting, unknown
from occystrap_dir.workspace.locks import shared_if_exists
from occystrap_dir.workspace.names import file_size, read_document
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.workspace import LOCK, RECEIPTS

_NAMES = {'catalog': CATALOG, 'checksums': CHECKSUMS}
"""The files of these kinds have one name."""


def verify_dir(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the directory has of what the receipt expects.

    FAST compares digests of manifest and config, and sizes of layers, and looks the image up in the catalog and in
    SHA256SUMS; FULL also hashes each layer, read from the device.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    if receipt.by_digest:
        from occystrap_dir.directory.image_check import ImageCheck  # late: for what another program wrote
        return ImageCheck(receipt, level, settings).run()
    _require_options(receipt, results)
    check = DirectoryCheck(receipt, level, settings)
    for found in settings.in_parallel(check.one, receipt.expectations):
        results.extend(found)
    if receipt.of_kind('files'):
        names = [each.locator for each in receipt.expectations]
        with suppress(FileNotFoundError):
            from occystrap_dir.extraction.privacy import check_privacy  # late, as few images are unpacked
            check_privacy(receipt, '', ['', STATE, RECEIPTS, TREES, *names], results)
    return results


def _require_options(receipt: Receipt, results: CheckResults) -> None:
    """Report as unverified if a receipt lacks expectations that its own options require."""
    for option, kind in (('expand', 'files'), ('checksums', 'checksums')):
        requested = receipt.options.get(option, '').lower() in ('true', 'yes', 'on', '1')
        if requested and not receipt.of_kind(kind):
            results.unverified(receipt.destination, f'the receipt has {option}=true but expects no {kind}')


class DirectoryCheck:
    """Checks the expectations of one receipt, one by one."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._root, self._receipt, self._level, self._settings = receipt.path, receipt, level, settings

    @property
    def _by_kind(self) -> dict[str, Callable[[Expectation, CheckResults], None]]:
        return {
            'manifest': self._manifest, 'config': self._document, 'layer': self._layer, 'catalog': self._catalog,
            'files': self._files, 'checksums': self._checksums}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return what was found for one expectation.

        What seems wrong is looked at once more when no run publishes, since half of a replacement may have been seen.
        """
        found = self._look(expectation)
        if found.has_contradiction or found.has_unreachable:
            with suppress(OSError), shared_if_exists(self._root, LOCK):
                found = self._look(expectation)
        return found

    def _look(self, expectation: Expectation) -> CheckResults:
        results = CheckResults()
        with reporting(expectation, results):
            if (name := _NAMES.get(expectation.kind, expectation.locator)) != expectation.locator:
                results.differs(expectation, f'its readers look for {name}')
            self._by_kind.get(expectation.kind, unknown)(expectation, results)
        return results

    def _manifest(self, expected: Expectation, results: CheckResults) -> None:
        """Compare the manifest, and check that its files are those of the receipt, not of another image."""
        self._document(expected, results)
        if results.has_contradiction:
            return
        known = {each.locator for each in self._receipt.of_kind('config', 'layer')}
        images = read_manifest(self._root, expected.locator)
        named = {name for image in images for name in (image.config, *image.layers)}
        for name in sorted(named - known):
            results.differs(expected, f'lists {name}, which the receipt does not expect')

    def _document(self, expected: Expectation, results: CheckResults) -> None:
        report_document(expected, self._root, results)

    def _layer(self, expected: Expectation, results: CheckResults) -> None:
        report_file(expected, self._root, self._level is VerifyLevel.FULL, self._settings, results)

    def _catalog(self, expected: Expectation, results: CheckResults) -> None:
        """Find the expected entry; the catalog as a whole changes with every image."""
        file_size(self._root, expected.locator)
        what = f'{self._root}/{expected.locator}'
        catalog = (known_catalog(self._root) if expected.locator == CATALOG else
                   parse_catalog(read_document(self._root, expected.locator, CAP), what))
        manifests = {manifest.locator for manifest in self._receipt.of_kind('manifest')}
        named = [entry for manifest in sorted(manifests) for entry in catalog.with_manifest(manifest)]
        if not any(Digest.of(entry.canonical()) == expected.digest for entry in named):
            results.missing(expected, f'does not list {self._receipt.reference} with {" ".join(manifests)}')
        for entry in named:
            if Digest.of(entry.canonical()) == expected.digest:
                results.read(expected, entry.canonical())
            else:
                results.differs(expected, f'lists {entry} with {entry.manifest}, expected only '
                                          f'{self._receipt.reference}')

    def _checksums(self, expected: Expectation, results: CheckResults) -> None:
        """Find the lines for this image's files and the catalog, while no writer is changing these two files."""
        with shared_if_exists(self._root, LOCK):
            file_size(self._root, expected.locator)
            listed, mine = read_checksums(self._root), digests_of(self._receipt, self._root)
            with suppress(FileNotFoundError, InvalidImage):  # reported by the check of the catalog itself
                mine[CATALOG] = Digest.of(read_document(self._root, CATALOG, CAP))
        wrong = [name for name, digest in mine.items() if listed.get(name) != digest]
        for name in wrong:
            results.differs(expected, f'lists {name} with {listed[name]}, expected {mine[name]}'
                            if name in listed else f'does not list {name}')
        if not wrong:
            results.read(expected, write_checksums({name: listed[name] for name in mine if name != CATALOG}))

    def _files(self, expected: Expectation, results: CheckResults) -> None:
        """Compare the unpacked files with their list."""
        for manifest in self._receipt.of_kind('manifest'):
            if expected.locator != tree_name(manifest.locator):
                results.differs(expected, f'it should be {tree_name(manifest.locator)}')
            from occystrap_dir.file_list.files_check import check_files
            check_files(expected, self._root, expanded_name(manifest.locator), self._level is VerifyLevel.FULL,
                        self._settings, results)
