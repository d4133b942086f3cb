"""Publishing an image in a layout: its entry in index.json, and its receipt."""
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from occystrap_core import Expectation, InvalidImage, OutputError, Receipt
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, MANIFEST_CAP, Descriptor, Digest, Entry, IndexFile, blob_name, blobs_below,
    canonical, names_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.existing_layout import current_index, has_version, require_index
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.layout.recovery import rebuilt_index
from occystrap_dir.workspace.receipts import kept_receipt, with_known_evidence
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace

EXPECTED_LAYOUT = Expectation('layout', LAYOUT_FILE, Digest.of(LAYOUT_VERSION), len(LAYOUT_VERSION))
"""What a receipt expects of the file `oci-layout`: this version, however it is formatted."""
_PLAIN = re.compile(r'[a-z0-9][a-z0-9._-]{0,200}')


def expected_entry(entry: Entry) -> Expectation:
    """Return the expectation for index.json: this entry, located by its name; other entries may change."""
    name, = names_of(entry)
    content = canonical(entry)
    manifest = Digest(entry['digest'])
    return Expectation('entry', name or manifest, Digest.of(content), len(content), covers=(manifest,))


def receipt_name(stem: str) -> str:
    """Return the name of the file for the receipt of an image, from its name or, without one, from its digest."""
    if _PLAIN.fullmatch(stem):
        return f'{stem}.json'
    return f'{re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:150]}~{hashlib.sha256(stem.encode()).hexdigest()[:12]}.json'


class Published(NamedTuple):
    """Whether entries were replaced, and notes on a rebuilt index.json and on blobs that stay."""

    replaces: bool
    notes: Sequence[str]


def publish(workspace: Workspace, entries: Sequence[Entry], receipt: Receipt, kept: str, rebuild: bool) -> Published:
    """Add entries to index.json, which with `rebuild` may be damaged, and write the receipt.

    The caller holds the lock. Documents that would not change are not written. Raises OutputError, OSError.
    """
    root, documents = workspace.root, dict[str, bytes]()
    index, notes = _index(workspace, receipt, rebuild)
    replaced = [each for entry in entries for each in index.put(entry)]
    if not has_version(root):
        documents[LAYOUT_FILE] = LAYOUT_VERSION
    if not _is_unchanged(root, index):
        documents[INDEX_FILE] = _checked(index.to_json(), root)
    earlier = kept_receipt(root, kept)
    if (lasting := with_known_evidence(receipt, earlier)) != earlier or INDEX_FILE in documents:
        documents[f'{RECEIPTS}/{kept}'] = f'{lasting.to_json()}\n'.encode()
    notes = [*notes, *_note_blobs(workspace, replaced)]
    partial = {workspace.write(content): name for name, content in documents.items()}
    workspace.settle()
    if INDEX_FILE in documents:  # if a crash separates two renames, no receipt of another image is left
        workspace.place.unlink(f'{RECEIPTS}/{kept}')
    for temporary, name in partial.items():
        workspace.move(temporary, name)
    return Published(bool(replaced), notes)


def _index(workspace: Workspace, receipt: Receipt, rebuild: bool) -> tuple[IndexFile, Sequence[str]]:
    """Return the present index, or one rebuilt without this run's images and blobs that other runs are writing."""
    index = current_index(workspace.root)
    if index and not (rebuild and not workspace.place.status(INDEX_FILE)):
        return index, ()
    if not rebuild:
        require_index(workspace.root)
    return rebuilt_index(workspace.root, {*workspace.noted(), *(each.locator for each in receipt.expectations)})


def _is_unchanged(root: str, index: IndexFile) -> bool:
    try:
        return read_index(root).is_same(index)
    except (FileNotFoundError, InvalidImage):
        return False


def _checked(raw: bytes, root: str) -> bytes:
    if len(raw) > MANIFEST_CAP:
        raise OutputError(f'{root}/{INDEX_FILE} would exceed the {MANIFEST_CAP} bytes allowed: name another directory')
    return raw


def _note_blobs(workspace: Workspace, replaced: Sequence[Descriptor]) -> list[str]:
    """Note the blobs of replaced images, to be removed unless others use them; return a note if they are unknown."""
    try:
        blobs = blobs_below(LayoutStore(workspace.root).manifest, replaced)
    except ImageError as error:  # a manifest that cannot be read may name any blob
        return [f'{workspace.root} keeps the blobs of what was replaced: {error}']
    workspace.note([blob_name(digest) for digest in sorted(blobs)])
    return []
