"""Removing blobs that no image refers to: those of replaced images, and of unfinished runs."""
import re

from occystrap_core.files import ImageError
from occystrap_core.oci import BLOB_DIRECTORIES, INDEX_FILE, Digest, blob_name, blobs_below
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.layout.recovery import has_receipts
from occystrap_dir.workspace.workspace import Workspace

_BLOB = re.compile(rf'(?:{"|".join(BLOB_DIRECTORIES)})/[0-9a-f]{{64,128}}')


def remove_unnamed(workspace: Workspace) -> None:
    """Remove those of the noted blobs that no entry leads to, or keep them for the next run.

    Blobs that this program did not write or replace stay, even if no image refers to them. Raises OSError, and
    ImageError, before anything is removed, if a manifest cannot be read.
    """
    root, place = workspace.root, workspace.place
    named = {blob_name(digest) for digest in _named(root)}
    workspace.keep_blobs(named)
    for name in workspace.noted():
        if _BLOB.fullmatch(name) and name not in named:
            place.unlink(name)
    if not place.status(INDEX_FILE):
        for name in (*BLOB_DIRECTORIES, 'blobs'):
            place.remove_empty(name)  # other files in it stay


def _named(root: str) -> set[Digest]:
    try:
        entries = read_index(root).manifests
    except FileNotFoundError:
        if has_receipts(root):
            raise ImageError(f'{root}/{INDEX_FILE} is missing') from None
        return set()
    return blobs_below(LayoutStore(root).manifest, entries)
