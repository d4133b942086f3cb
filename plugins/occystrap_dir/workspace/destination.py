"""Whether images may be written to a folder: asked before anything is downloaded."""
import os
from collections.abc import Collection
from dataclasses import replace

from occystrap_core import InvalidImage, Location, OutputError, writing
from occystrap_dir.directory.catalog import CATALOG, is_missing, read_catalog
from occystrap_dir.directory.manifests import SINGLE, manifest_names, read_manifest
from occystrap_dir.workspace.workspace import STATE, was_left

_OURS = (SINGLE, CATALOG, STATE)
_OTHERS = ('oci-layout', 'index.json', 'blobs', 'repositories', 'version', 'rootfs', 'mount.json', 'layers')
_HARMLESS = {'lost+found'}


def check_destination(root: str, unique: bool, rebuild: bool) -> None:
    """Raise OutputError unless `root` is a folder that may be written to, or can be made.

    `unique` tells that several images are wanted in it; with `rebuild` its catalog may be damaged. A folder with other
    things in it is refused.
    """
    with writing(root):
        if check_folder(root):
            _check_content(root, unique)
            if unique and not rebuild:
                require_catalog(root)


def require_catalog(root: str) -> None:
    """Raise OutputError for a catalog of several images that is damaged or lost; OSError."""
    loss = 'what they called their images is lost'
    if is_missing(root) and was_left(root, '') and is_missing(root):
        raise not_replaced(f'{root}/{CATALOG} is missing, though images are there', loss)
    try:
        read_catalog(root)
    except InvalidImage as error:
        raise not_replaced(str(error), loss) from None


def check_folder(root: str) -> bool:
    """Return whether `root` is a folder that may be written to, or not there but can be made; raises OutputError."""
    if not os.path.lexists(root):
        check_parent(root, os.path.dirname(root))
        return False
    if not os.path.isdir(root):
        kind = 'a link that leads to no folder' if os.path.islink(root) else 'not a folder'
        raise OutputError(f'{root} is {kind}: name a folder')
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputError(f'{root} is not writable: change its permissions or name another folder')
    return True


def without_rebuilding(location: Location) -> Location:
    """Return a location as receipts keep it: to make a list anew is for one run, and no part of the place."""
    return replace(location, given={name: text for name, text in location.given.items() if name != 'rebuild_index'})


def not_replaced(what: str, loss: str) -> OutputError:
    """Return what to say of a list of images that is damaged or lost, when nobody has asked to make it anew."""
    return OutputError(f'{what}: images of other programs may be listed there, so it is not replaced; repair it, or '
                       f'add --rebuild-index (or the option rebuild_index=true), with which {loss}')


def check_empty(root: str, ours: Collection[str]) -> None:
    """Raise OutputError if the folder has things in it, but none of `ours`."""
    names = set(os.listdir(root))  # at once, since other writers may be at work here
    if names.isdisjoint(ours) and (others := sorted(names - _HARMLESS)):
        raise OutputError(f'{root} holds other things, such as {others[0]!r}: name an empty folder')


def check_layout(root: str, others: Collection[str]) -> None:
    """Raise OutputError if the folder has files that only other layouts have."""
    for name in others:
        if os.path.lexists(f'{root}/{name}'):
            raise OutputError(f'{root} holds an image in another layout ({name!r} is there): name an empty folder')


def check_parent(root: str, parent: str) -> None:
    """Raise OutputError unless `root` can be made, in the folder `parent`."""
    if not os.path.isdir(parent):
        raise OutputError(f'cannot make the folder {root}: {parent} is no folder; make it first')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f'cannot make the folder {root}: {parent} is not writable')


def _check_content(root: str, unique: bool) -> None:
    check_empty(root, _OURS)
    check_layout(root, _OTHERS)
    _check_documents(root, unique)
    if not unique and manifest_names(root) not in ([], [SINGLE]):
        raise OutputError(f'{root} holds several images: add ?unique_names=true to put this one beside them, '
                          'or name an empty folder')


def _check_documents(root: str, unique: bool) -> None:
    """Raise OutputError if what has the names of our documents is something else, and no run of ours left its state.

    Other programs call their files manifest.json as well. A catalog that is wanted is looked at by itself.
    """
    if os.path.lexists(f'{root}/{STATE}'):
        return
    try:
        if not unique:
            read_catalog(root)
        if os.path.lexists(f'{root}/{SINGLE}'):
            read_manifest(root, SINGLE)
    except InvalidImage as error:
        raise OutputError(f'{root} holds other things: {error}: name an empty folder') from None
