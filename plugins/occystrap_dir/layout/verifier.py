"""Verifying layout://: holds a layout against a receipt, and knows nothing of the writer."""
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from occystrap_core import CheckResults, Expectation, InvalidImage, Receipt, Settings, VerifyLevel
from occystrap_core.oci import (
    LAYOUT, MANIFEST_CAP, Digest, ImageConfig, Index, Manifest, blob_name, parse_manifest_or_index, require_version,
)
from occystrap_dir.checking import device_digest, findings_of, is_there, missing, unknown
from occystrap_dir.layout.index_file import canonical, names_of, read_index
from occystrap_dir.names import file_size, read_document

_SMALL = ('manifest', 'index', 'config')


def verify_layout(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Return what is not as the receipt says, in the order of the receipt.

    FAST looks the image up in index.json, and holds manifests, indexes and configs against their digests, layers
    against their sizes; FULL hashes every blob, as the device has it.
    """
    results = CheckResults()
    if not is_there(receipt, results):
        return results
    check = LayoutCheck(receipt, level, settings)
    with ThreadPoolExecutor(settings.jobs, 'verify') as pool:
        for found in pool.map(check.one, receipt.expectations):
            results.extend(found)
    return results


class LayoutCheck:
    """Checks the expectations of one receipt, each by itself."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        self._root, self._receipt, self._level, self._settings = receipt.path, receipt, level, settings
        self._digests = {each.digest for each in receipt.expectations}
        self._by_kind: dict[str, Callable[[Expectation, CheckResults], None]] = {
            'layout': self._version, 'entry': self._entry, 'manifest': self._manifest, 'index': self._manifest,
            'config': self._blob, 'layer': self._blob}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return the findings about one thing."""
        results = CheckResults()
        with findings_of(expectation, results, _missing):
            self._by_kind.get(expectation.kind, unknown)(expectation, results)
        return results

    def _version(self, expected: Expectation, results: CheckResults) -> None:
        file_size(self._root, LAYOUT)
        require_version(read_document(self._root, LAYOUT, MANIFEST_CAP), self._root)

    def _entry(self, expected: Expectation, results: CheckResults) -> None:
        """Find the entry that the receipt tells of; the rest of index.json changes with every image."""
        index = read_index(self._root)
        if index.unknown_fields:
            results.error(expected, f'index.json has the unknown field {index.unknown_fields[0]!r}')
        found = [entry for entry in index.entries if Digest.of(canonical(entry)) == expected.digest]
        if self._receipt.manifest_digest not in self._digests:
            results.error(expected, f'the receipt does not tell of its own manifest, {self._receipt.manifest_digest}')
        if found:
            name, = names_of(found[0])
            rivals = [entry for entry in index.called(name) if name and entry not in found]
            if rivals or (name and len(found) > 1):
                results.error(expected, f'index.json has several entries of this name, expected one: '
                                        f'{found[0]["digest"]}')
            return
        there = [entry for entry in index.entries if expected.locator in (*names_of(entry), entry['digest'])]
        results.error(expected, 'is not listed in index.json' if not there else
                      f'is in index.json as {there[0]["digest"]}, with another entry than was written')

    def _manifest(self, expected: Expectation, results: CheckResults) -> None:
        """Look at the manifest, and whether the receipt expects all that it names."""
        self._blob(expected, results)
        if results.has_errors:
            return
        document = parse_manifest_or_index(read_document(self._root, expected.locator, expected.size))
        if expected.digest == self._receipt.manifest_digest:
            self._own(expected, document, results)
        for each in () if isinstance(document, Index) else (document.config, *document.layers):
            if each.digest not in self._digests:
                results.error(expected, f'names {each.digest}, of which the receipt does not tell')

    def _own(self, expected: Expectation, document: Manifest | Index, results: CheckResults) -> None:
        """Hold what the receipt says of its image against the manifest and the config."""
        image_id = document.digest if isinstance(document, Index) else document.config.digest
        results.expect(expected, 'the image ID', self._receipt.image_id, image_id)
        if isinstance(document, Manifest) and document.is_image:
            with suppress(OSError, InvalidImage):  # of which the config's own check tells
                config = ImageConfig.parse(read_document(self._root, blob_name(image_id), MANIFEST_CAP))
                if config.digest == image_id:
                    results.expect(expected, 'the list of diff_ids', [*self._receipt.diff_ids], [*config.diff_ids])

    def _blob(self, expected: Expectation, results: CheckResults) -> None:
        if not results.expect(expected, 'size in bytes', expected.size, file_size(self._root, expected.locator)):
            return
        if self._level is VerifyLevel.FULL:
            digest = device_digest(self._root, expected.locator, self._settings)
            results.expect(expected, 'digest', expected.digest, digest)
        elif expected.kind in _SMALL:
            content = read_document(self._root, expected.locator, expected.size)
            results.expect(expected, 'digest', expected.digest, Digest.of(content))


def _missing(expected: Expectation, error: OSError) -> str:
    """Return what to say of a missing file: of an entry, which is none, the name of the file that it is in."""
    what = '' if expected.kind != 'entry' else f'{os.path.basename(error.filename or "")} '
    return f'{what}{missing(expected, error)}'
