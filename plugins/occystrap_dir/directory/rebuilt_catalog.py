"""Making catalog.json again from what else a directory of several images has."""
from collections.abc import Iterator
from contextlib import suppress

from occystrap_core import InvalidImage, Receipt, UsageError
from occystrap_core.oci import Digest, Reference
from occystrap_dir.directory.catalog import CATALOG, Catalog, Entry, candidates
from occystrap_dir.directory.manifests import manifest_names, read_manifest
from occystrap_dir.workspace.receipts import kept_receipt


def rebuilt_catalog(root: str) -> tuple[Catalog, str]:
    """Return a catalog of the images in a directory, and a note on what is lost. Raises OSError.

    Names are taken from receipts, and for images without one from the tags in their manifests.
    """
    catalog, unnamed = Catalog(), list[str]()
    for manifest in manifest_names(root):
        receipt = kept_receipt(root, manifest)
        found = list(_attested(receipt, manifest) if receipt else ())
        unnamed += [] if found else [manifest]
        for entry in found:
            catalog.put(entry)
    lost = list[str]()
    for manifest in unnamed:
        tagged = list(_tagged(root, manifest))
        lost += [] if tagged else [manifest]
        for entry in tagged:
            if not catalog.find(entry.name, entry.tag):
                catalog.put(entry)
    tagged_only = [each for each in unnamed if each not in lost]
    details = f'; named by their own tags: {", ".join(tagged_only)}' if tagged_only else ''
    details += f'; left out, as their names are unknown: {", ".join(lost)}' if lost else ''
    return catalog, f'{CATALOG} was rebuilt from receipts, without names given by other programs{details}'


def _tagged(root: str, manifest: str) -> Iterator[Entry]:
    """Yield entries for the tags of the images in a manifest."""
    with suppress(InvalidImage, UsageError):
        for image in read_manifest(root, manifest):
            for tag in image.tags:
                named = Reference.parse(tag).with_default_tag()
                yield Entry(named.repository, named.tag or str(named.digest), manifest)


def _attested(receipt: Receipt, manifest: str) -> Iterator[Entry]:
    """Yield the entry that a receipt was written for."""
    expected = {expectation.digest for expectation in receipt.of_kind('catalog')}
    with suppress(UsageError):
        for entry in candidates(Reference.parse(receipt.reference), manifest):
            if Digest.of(entry.canonical()) in expected:
                yield entry
