"""Removing images from a directory of several: their entries in the catalog, their files, and layers that no image
uses."""
from collections.abc import Sequence
from functools import partial

from occystrap_core import Receipt, Settings
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest
from occystrap_dir.directory.catalog import CATALOG, Catalog, Entry, read_catalog
from occystrap_dir.directory.checksums import (
    CHECKSUMS, digests_of_others, keeps_checksums, lines_of_others, write_checksums,
)
from occystrap_dir.directory.existing_images import require_catalog
from occystrap_dir.directory.expanded_files import remove_expansions, remove_if_empty, spare_expansions
from occystrap_dir.directory.manifests import SINGLE, is_manifest_name, manifest_names, name_of_layer
from occystrap_dir.directory.orphans import remove_orphans
from occystrap_dir.workspace.image_removal import at_each, in_one_run
from occystrap_dir.workspace.receipts import note_bringers as note_in
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace


def remove(receipts: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool) -> list[str]:
    """Remove images that these receipts prove; return for each the reason why it stays, empty if it was removed.

    An image that differs from its receipt stays. Layers of other images stay; `staying` is not needed for that.
    """
    return at_each(receipts, lambda root, group: _removed(root, group, settings, dry_run))


def note_bringers(receipts: Sequence[Receipt], settings: Settings, withdrawn: bool) -> None:
    """Add the bringers of these receipts to the kept receipts of the same images, or remove them."""
    for root in sorted({each.path for each in receipts}):
        workspace = Workspace(root, settings.sync, final=name_of_layer)
        note_in(workspace, {_manifest(each): each for each in receipts if each.path == root}, withdrawn,
                partial(_sweep, workspace))


def _sweep(workspace: Workspace) -> None:
    remove_orphans(workspace)
    remove_if_empty(workspace.root)


def _removed(root: str, group: Sequence[Receipt], settings: Settings, dry_run: bool) -> list[str]:
    workspace = Workspace(root, settings.sync, final=name_of_layer)
    if dry_run:
        with output_errors(root):
            require_catalog(root)
            return [_reason(workspace, read_catalog(root), each) for each in group]
    return in_one_run(workspace, lambda: _delisted(workspace, group, settings), partial(_sweep, workspace))


def _delisted(workspace: Workspace, group: Sequence[Receipt], settings: Settings) -> list[str]:
    """Remove the images from the catalog, then their manifests, and finally their receipts.

    If a run is killed in between, a receipt remains by which the next run continues. The caller holds the lock.
    """
    require_catalog(workspace.root)
    catalog = read_catalog(workspace.root).copy()
    reasons = [_reason(workspace, catalog, each) for each in group]
    going = [each for each, reason in zip(group, reasons, strict=True) if not reason]
    names = list(map(_manifest, going))
    spare_expansions(workspace.root, names, settings)
    for each in going:
        for entry in _own(catalog, each):
            catalog.remove(entry)
    unlisted = [name for name in names if not catalog.with_manifest(name)]
    _write(workspace, catalog, unlisted)
    for name in unlisted:
        workspace.place.unlink(name)
    remove_expansions(workspace.root, unlisted)
    for name in names:
        workspace.place.unlink(f'{RECEIPTS}/{name}')
    return reasons


def _write(workspace: Workspace, catalog: Catalog, gone: Sequence[str]) -> None:
    """Write the catalog, and SHA256SUMS where there is one, without these manifests."""
    listed, root = catalog.to_json(), workspace.root
    documents = {CATALOG: listed}
    if keeps_checksums(root):
        others = [name for name in manifest_names(root) if name not in gone]
        documents[CHECKSUMS] = write_checksums({**lines_of_others(root), **digests_of_others(root, others),
                                                CATALOG: Digest.of(listed)})
    written = {workspace.write(content): name for name, content in documents.items()}
    workspace.settle()
    with workspace.undisturbed():
        workspace.move_all(written)


def _reason(workspace: Workspace, catalog: Catalog, receipt: Receipt) -> str:
    """Return why an image cannot be removed; what is left of an image that is no longer listed can be removed."""
    name = _manifest(receipt)
    if name == SINGLE:
        return f'{receipt.reference} is the only image of {workspace.root}: remove the directory itself'
    if not is_manifest_name(name):
        return f'{receipt.reference}: its receipt names no manifest'
    try:
        there = workspace.place.hash(name)[0]
    except FileNotFoundError:
        return ''
    listed = catalog.with_manifest(name)
    if there != receipt.of_kind('manifest')[0].digest or listed and not _own(catalog, receipt):
        return f'{receipt.reference}: {name} in {workspace.root} is another image now, which no receipt covers'
    return ''


def _own(catalog: Catalog, receipt: Receipt) -> list[Entry]:
    """Return the entry that the receipt was written for, if it is there."""
    expected = {each.digest for each in receipt.of_kind('catalog')}
    return [each for each in catalog.with_manifest(_manifest(receipt)) if Digest.of(each.canonical()) in expected]


def _manifest(receipt: Receipt) -> str:
    found = receipt.of_kind('manifest')
    return found[0].locator if found else ''
