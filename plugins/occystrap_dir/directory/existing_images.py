"""Checks whether images may be written to a directory in the layout of docker save, made before any download."""
import os

from occystrap_core import InvalidImage, OutputError
from occystrap_core.files import output_errors
from occystrap_dir.directory.catalog import CATALOG, is_missing, read_catalog
from occystrap_dir.directory.manifests import SINGLE, manifest_names, read_manifest
from occystrap_dir.workspace.destination import check_directory, check_empty, check_layout, not_replaced
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.run_marks import was_left

_OURS = (SINGLE, CATALOG, STATE)
_OTHERS = ('oci-layout', 'index.json', 'blobs', 'repositories', 'version', 'rootfs', 'mount.json', 'layers')


def check_destination(root: str, unique: bool, rebuild: bool) -> None:
    """Raise OutputError unless `root` is a writable directory of this layout or empty, or can be made.

    With `unique` it may have several images; with `rebuild` its catalog may be damaged.
    """
    with output_errors(root):
        if check_directory(root):
            _check_content(root, unique)
            if unique and not rebuild:
                require_catalog(root)


def require_catalog(root: str) -> None:
    """Raise OutputError if the catalog of several images is damaged or missing; raises OSError."""
    loss = 'the names that they gave to images are lost'
    if is_missing(root) and was_left(root, '') and is_missing(root):
        raise not_replaced(f'{root}/{CATALOG} is missing, but the directory has images', loss)
    try:
        read_catalog(root)
    except InvalidImage as error:
        raise not_replaced(str(error), loss) from None


def names_of_single(root: str) -> list[str]:
    """Return the names of the image in a directory of one; none if it has no readable manifest."""
    try:
        return [tag for image in read_manifest(root, SINGLE) for tag in image.tags]
    except (InvalidImage, OSError):
        return []


def _check_content(root: str, unique: bool) -> None:
    check_empty(root, _OURS)
    check_layout(root, _OTHERS)
    _check_documents(root, unique)
    if not unique and manifest_names(root) not in ([], [SINGLE]):
        raise OutputError(f'{root} holds several images: add ?unique_names=true to add this one to them, '
                          'or choose an empty directory')


def _check_documents(root: str, unique: bool) -> None:
    """Raise OutputError if files with the names of our documents are something else, unless the directory is ours.

    Other programs have files named manifest.json as well. With `unique` the catalog is checked elsewhere.
    """
    if os.path.lexists(f'{root}/{STATE}'):
        return
    try:
        if not unique:
            read_catalog(root)
        if os.path.lexists(f'{root}/{SINGLE}'):
            read_manifest(root, SINGLE)
    except InvalidImage as error:
        raise OutputError(f'{root} contains other files: {error}: choose an empty directory') from None
