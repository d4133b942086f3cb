"""Removing images from a layout: their entries in index.json, their receipts, and blobs that no image uses any more."""
from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

from occystrap_core import Receipt, Settings
from occystrap_core.oci import INDEX_FILE, Digest, IndexFile, blob_name
from occystrap_dir.layout.existing_layout import require_index
from occystrap_dir.layout.publication import note_blobs, receipt_name
from occystrap_dir.layout.unnamed import remove_unnamed
from occystrap_dir.workspace.image_removal import at_each, in_one_run
from occystrap_dir.workspace.receipts import kept_receipts, note_bringers as note_in
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace


def remove(receipts: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool) -> list[str]:
    """Remove images that these receipts prove; return for each the reason why it stays, empty if it was removed.

    An entry that differs from the receipt stays, since it is not for the image that was written. What images with
    `staying` receipts, or others in the layout, have in common with a removed one stays, too.
    """
    return at_each(receipts, lambda root, group: _removed(root, group, staying, settings, dry_run))


def note_bringers(receipts: Sequence[Receipt], settings: Settings, withdrawn: bool) -> None:
    """Add the bringers of these receipts to the kept receipts of the same images in layouts, or remove them."""
    for root in sorted({each.path for each in receipts}):
        workspace = Workspace(root, settings.sync, final=blob_name)
        note_in(
            workspace, {receipt_name(_stem(each)): each for each in receipts if each.path == root}, withdrawn,
            partial(remove_unnamed, workspace))


class _Removal(NamedTuple):
    """What is to be removed: why each image stays, those that go, and the digests of their entries."""

    reasons: list[str]
    going: Sequence[Receipt]
    entries: Collection[Digest]


def _removed(root: str, group: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool,
             ) -> list[str]:
    if dry_run:
        return _planned(root, require_index(root), group, staying).reasons
    workspace = Workspace(root, settings.sync, final=blob_name)
    return in_one_run(workspace, lambda: _delisted(workspace, group, staying), partial(remove_unnamed, workspace))


def _delisted(workspace: Workspace, group: Sequence[Receipt], staying: Sequence[Receipt]) -> list[str]:
    """Remove the images from index.json, and their receipts; the caller holds the lock.

    The blobs are noted first, so that the next run removes them if this one is killed.
    """
    index = require_index(workspace.root)
    reasons, going, entries = _planned(workspace.root, index, group, staying)
    removed = index.drop(set(entries))
    if removed:
        note_blobs(workspace, removed)
        written = workspace.write(index.to_json())
        workspace.settle()
        workspace.move_all({written: INDEX_FILE})
    for each in going:
        with workspace.noting():
            workspace.place.unlink(f'{RECEIPTS}/{receipt_name(_stem(each))}')
    return reasons


def _planned(root: str, index: IndexFile, group: Sequence[Receipt], staying: Sequence[Receipt]) -> _Removal:
    """Return what is to be removed, also for a dry run. `staying` may be receipts of any destination."""
    reasons = [_reason(index, each) for each in group]
    going = [each for each, reason in zip(group, reasons, strict=True) if not reason]
    listed = {_main(each) for each in going}
    others = [*kept_receipts(root), *(each for each in staying if each.scheme == group[0].scheme)]
    kept = {entry.digest for each in others if each.of_kind('entry') and _main(each) not in listed
            for entry in each.of_kind('entry')}
    return _Removal(reasons, going, {entry.digest for each in going for entry in each.of_kind('entry')} - kept)


def _main(receipt: Receipt) -> tuple[str, Digest]:
    """Return name and digest of the image's own entry, which comes first."""
    entry = receipt.of_kind('entry')[0]
    return entry.locator, entry.digest


def _stem(receipt: Receipt) -> str:
    """Return the base for the name of a receipt's file: the image's name in index.json or, without one, its digest."""
    locator = _main(receipt)[0]
    digest = receipt.manifest_digest
    return digest.hex if digest and locator == str(digest) else locator


def _reason(index: IndexFile, receipt: Receipt) -> str:
    """Return why an image cannot be removed; one that is no longer there can."""
    if not receipt.of_kind('entry'):
        return f'{receipt.reference}: its receipt names no entry of {INDEX_FILE}'
    entry, words = index.find(*_main(receipt))
    return f'{_main(receipt)[0]} {words}' if entry is None and 'another entry' in words else ''
