"""Making a lost or damaged index.json again, from the receipts that the layout keeps."""
from collections.abc import Iterator

from occystrap_core import ImageError, Receipt
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, referrer_of
from occystrap_dir.beneath import Beneath
from occystrap_dir.layout.contents import LayoutContents
from occystrap_dir.layout.index_file import Entry, IndexFile, canonical, named_entry
from occystrap_dir.receipts import kept_receipt
from occystrap_dir.workspace import RECEIPTS


def has_receipts(root: str) -> bool:
    """Tell whether the layout keeps receipts, so that its index.json is ours to mend; raises OSError."""
    return bool(_kept(root))


def recovered_index(root: str) -> IndexFile:
    """Return an index of all images that receipts tell of and whose manifests are there; raises OSError."""
    index = IndexFile.empty()
    for name in _kept(root):
        receipt = kept_receipt(root, name)
        for entry in _attested(LayoutContents(root), receipt) if receipt else ():
            index.put(entry)
    return index


def _kept(root: str) -> list[str]:
    try:
        return [name for name in Beneath(root).names(RECEIPTS) if name.endswith('.json')]
    except FileNotFoundError:
        return []


def _attested(contents: LayoutContents, receipt: Receipt) -> Iterator[Entry]:
    """Yield the entries that a receipt was written for: they can be told by their digests."""
    documents = list(_documents(contents, receipt))
    for expected in receipt.of_kind('entry'):
        for document in documents:
            for descriptor in (document.descriptor, referrer_of(document)):
                for name in ('', expected.locator):
                    entry = named_entry(descriptor, name)
                    if Digest.of(canonical(entry)) == expected.digest:
                        yield entry


def _documents(contents: LayoutContents, receipt: Receipt) -> Iterator[Manifest | Index]:
    for expected in receipt.of_kind('manifest', 'index'):
        try:
            yield contents.manifest(Descriptor('', expected.digest, expected.size))
        except ImageError:
            continue  # a damaged manifest names nothing
