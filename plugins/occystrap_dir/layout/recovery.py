"""Rebuilding a missing or damaged index.json from the receipts in the layout."""
import os
from collections.abc import Collection, Iterator
from contextlib import suppress

from occystrap_core import InvalidImage, Receipt
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    BLOB_DIRECTORIES, Descriptor, Digest, Entry, Index, IndexFile, Manifest, blob_name, blobs_below, canonical,
    named_entry, referrer_of, subject_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.receipts import kept_receipt
from occystrap_dir.workspace.workspace import RECEIPTS

_MOST = 20
"""Most digests that a note lists."""


def has_receipts(root: str) -> bool:
    """Return whether the layout has receipts, so that this program may repair its index.json; raises OSError."""
    return bool(_kept(root))


def rebuilt_index(root: str, left_out: Collection[str]) -> tuple[IndexFile, list[str]]:
    """Return an index of all images in the layout, and notes on what is lost; raises OSError.

    Images with receipts keep their names. Other images, except blobs in `left_out`, are listed without a name, so that
    their blobs are not removed.
    """
    contents, receipts = LayoutStore(root), {name: kept_receipt(root, name) for name in _kept(root)}
    index = IndexFile.empty()
    lost = [name for name, receipt in receipts.items() if not receipt]
    for receipt in filter(None, receipts.values()):
        entries = list(_attested(contents, receipt))
        lost += [] if entries else [receipt.reference]
        for entry in entries:
            index.put(entry)
    nameless = _nameless(contents, index, left_out)
    for document in nameless:
        index.put(named_entry(referrer_of(document) if subject_of(document) else document.descriptor, ''))
    listed = ', '.join(str(document.digest) for document in nameless[:_MOST]) + ', …' * (len(nameless) > _MOST)
    note = 'index.json was rebuilt from receipts, without the names that other programs gave'
    note += f'; lost, as receipt or manifest cannot be read: {", ".join(lost)}' if lost else ''
    return index, [f'{note}; listed without a name: {listed}' if nameless else note] if nameless or receipts else []


def _nameless(contents: LayoutStore, index: IndexFile, left_out: Collection[str]) -> list[Manifest | Index]:
    """Return the manifests and indexes that no entry leads to."""
    known, found = set[Digest](), list[Manifest | Index]()
    with suppress(ImageError):
        known = blobs_below(contents.manifest, index.manifests)
    for digest in (each for directory in BLOB_DIRECTORIES for each in _blobs(contents.root, directory)):
        with suppress(ImageError):  # it is not a manifest
            if digest not in known and blob_name(digest) not in left_out:
                found.append(contents.manifest(Descriptor('', digest, -1)))
    inner = {each.digest for document in found if isinstance(document, Index) for each in document.manifests}
    return [document for document in found if document.digest not in inner]


def _blobs(root: str, directory: str) -> Iterator[Digest]:
    try:
        names = Beneath(root).names(directory)
    except FileNotFoundError:
        return
    for name in names:
        with suppress(InvalidImage):
            yield Digest(f'{os.path.basename(directory)}:{name}')


def _kept(root: str) -> list[str]:
    try:
        return [name for name in Beneath(root).names(RECEIPTS) if name.endswith('.json')]
    except FileNotFoundError:
        return []


def _attested(contents: LayoutStore, receipt: Receipt) -> Iterator[Entry]:
    """Yield the entries for which receipts were written, recognized by their digests."""
    documents = list(_documents(contents, receipt))
    for expected in receipt.of_kind('entry'):
        for document in documents:
            for descriptor in (document.descriptor, referrer_of(document)):
                for name in ('', expected.locator):
                    entry = named_entry(descriptor, name)
                    if Digest.of(canonical(entry)) == expected.digest:
                        yield entry


def _documents(contents: LayoutStore, receipt: Receipt) -> Iterator[Manifest | Index]:
    for expected in receipt.of_kind('manifest', 'index'):
        try:
            yield contents.manifest(Descriptor('', expected.digest, expected.size))
        except ImageError:
            continue  # a damaged manifest refers to nothing
