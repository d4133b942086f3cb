"""Publishing an image in a layout: its entry in index.json, and its receipt."""
import hashlib
import os
import re
from collections.abc import Sequence

from occystrap_core import Expectation, InvalidImage, OutputError, Receipt
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, MANIFEST_CAP, Descriptor, Digest, Entry, IndexFile, blob_name, blobs_below,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.existing_layout import current_index, has_version, require_index
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.layout.old_referrers import referrers_without_subject
from occystrap_dir.layout.recovery import rebuilt_index
from occystrap_dir.workspace.receipts import kept_receipt, with_known_evidence
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace

EXPECTED_LAYOUT = Expectation('layout', LAYOUT_FILE, Digest.of(LAYOUT_VERSION), len(LAYOUT_VERSION))
"""What a receipt expects of the file `oci-layout`: this version, however it is formatted."""
_PLAIN = re.compile(r'[a-z0-9][a-z0-9._-]{0,200}')


def receipt_name(stem: str) -> str:
    """Return the name of the file for the receipt of an image, from its name or, without one, from its digest."""
    if _PLAIN.fullmatch(stem):
        return f'{stem}.json'
    return f'{re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:150]}~{hashlib.sha256(stem.encode()).hexdigest()[:12]}.json'


class NewImage:
    """An image to be listed: its workspace, entries, receipt, and the name of the receipt's file.

    After `publish`: whether other entries were replaced, and notes on a rebuilt index.json and on blobs that were not
    removed.
    """

    def __init__(self, workspace: Workspace, entries: Sequence[Entry], receipt: Receipt, kept: str) -> None:
        self.workspace, self.entries, self.receipt, self.kept = workspace, entries, receipt, f'{RECEIPTS}/{kept}'
        self.replaces = False
        self.notes: Sequence[str] = ()

    def put_in(self, index: IndexFile) -> None:
        """Add the entries, and note the blobs of replaced images."""
        replaced = [each for entry in self.entries for each in index.put(entry)]
        self.replaces, self.notes = bool(replaced), note_blobs(self.workspace, replaced)


def publish(images: Sequence[NewImage], rebuild: bool) -> None:
    """Add images to index.json, which with `rebuild` may be damaged, and write their receipts.

    The caller holds the lock. Documents that would not change are not written. Raises OutputError, OSError.
    """
    workspace = images[0].workspace
    root, documents = workspace.root, dict[str, bytes]()
    index, notes = _index(workspace, images, rebuild)
    for image in images:
        image.put_in(index)
        image.notes = [*notes, *image.notes]
    _drop_referrers(workspace, index, images)
    if not has_version(root):
        documents[LAYOUT_FILE] = LAYOUT_VERSION
    if not _is_unchanged(root, index):
        documents[INDEX_FILE] = _checked(index.to_json(), root)
    for image in images:
        earlier = kept_receipt(root, os.path.basename(image.kept))
        if (lasting := with_known_evidence(image.receipt, earlier)) != earlier or INDEX_FILE in documents:
            documents[image.kept] = f'{lasting.to_json()}\n'.encode()
    partial = {workspace.write(content): name for name, content in documents.items()}
    workspace.settle()
    with workspace.undisturbed():
        if INDEX_FILE in documents:  # if a crash separates two renames, no receipt of another image is left
            for image in images:
                workspace.place.unlink(image.kept)
        workspace.move_all(partial)


def _drop_referrers(workspace: Workspace, index: IndexFile, images: Sequence[NewImage]) -> None:
    """Remove the entries of referrers that came with replaced images; their blobs are noted."""
    earlier = [kept_receipt(workspace.root, os.path.basename(image.kept)) for image in images if image.replaces]
    replaced = [each for each in earlier if each]
    if dropped := index.drop(referrers_without_subject(workspace.root, index, replaced,
                                                       [image.receipt for image in images])):
        note_blobs(workspace, dropped)


def _index(workspace: Workspace, images: Sequence[NewImage], rebuild: bool) -> tuple[IndexFile, Sequence[str]]:
    """Return the present index, or one rebuilt without this run's images and blobs that other runs are writing."""
    index = current_index(workspace.root)
    if index and not (rebuild and not workspace.place.status(INDEX_FILE)):
        return index, ()
    if not rebuild:
        require_index(workspace.root)
    expected = {each.locator for image in images for each in image.receipt.expectations}
    return rebuilt_index(workspace.root, {*workspace.noted(), *expected})


def _is_unchanged(root: str, index: IndexFile) -> bool:
    try:
        return read_index(root).is_same(index)
    except (FileNotFoundError, InvalidImage):
        return False


def _checked(raw: bytes, root: str) -> bytes:
    if len(raw) > MANIFEST_CAP:
        raise OutputError(f'{root}/{INDEX_FILE} would exceed the {MANIFEST_CAP} bytes allowed: choose another '
                          'directory')
    return raw


def note_blobs(workspace: Workspace, replaced: Sequence[Descriptor]) -> list[str]:
    """Note the blobs of replaced images, for removal if no other image uses them; return a note if they are unknown."""
    try:
        blobs = blobs_below(LayoutStore(workspace.root).manifest, replaced)
    except ImageError as error:  # an unreadable manifest may refer to any blob
        return [f'{workspace.root} keeps the blobs of what was replaced: {error}']
    workspace.note([blob_name(digest) for digest in sorted(blobs)])
    return []
