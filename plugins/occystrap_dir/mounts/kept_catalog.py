"""Reading mount.json of a directory, or rebuilding it from the receipts that are kept there."""
from collections.abc import Sequence
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.oci import Reference
from occystrap_dir.mounts.mount_files import CAP, CATALOG, LAYERS, MountCatalog, Mounted
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.destination import not_replaced
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.receipts import kept_receipt
from occystrap_dir.workspace.run_marks import was_left
from occystrap_dir.workspace.workspace import RECEIPTS


def catalog_in(place: Beneath, rebuild: bool) -> tuple[MountCatalog, Sequence[str]]:
    """Return the images that a directory has, and lines for the user.

    With `rebuild` a damaged or lost list is made from the receipts; without it OutputError is raised. Raises OSError.
    """
    root = place.path
    try:
        return MountCatalog.parse(read_document(root, CATALOG, CAP), f'{root}/{CATALOG}'), ()
    except FileNotFoundError:
        if not _is_lost(place):
            return MountCatalog(), ()
        damage = f'{root}/{CATALOG} is missing, but the directory has images'
    except InvalidImage as error:
        damage = str(error)
    if not rebuild:
        raise not_replaced(damage, 'images without a receipt are lost, and their layers are removed')
    catalog, unread = _from_receipts(place)
    lost = f'; these cannot be read: {", ".join(unread)}' if unread else ''
    return catalog, [f'{CATALOG} was rebuilt from receipts: layers that they do not list will be removed{lost}']


def _is_lost(place: Beneath) -> bool:
    """Return whether mount.json is missing although the directory is not new."""
    with suppress(FileNotFoundError):
        lost = bool(place.names(RECEIPTS)) or was_left(place.path, LAYERS)
        return lost and not place.status(CATALOG)
    return False


def _from_receipts(place: Beneath) -> tuple[MountCatalog, list[str]]:
    """Return the images in the receipts, and the names of receipts that cannot be read."""
    catalog, unread = MountCatalog(), list[str]()
    for name in place.names(RECEIPTS):
        if receipt := kept_receipt(place.path, name):
            listed = image_name(Reference.parse(receipt.reference))
            catalog.images[listed] = Mounted.of(receipt, listed)
        else:
            unread.append(name)
    return catalog, unread


def image_name(reference: Reference) -> str:
    """Return the name of an image in mount.json."""
    return str(reference.with_default_tag())
