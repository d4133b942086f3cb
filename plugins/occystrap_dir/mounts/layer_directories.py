"""The layers in a mounts:// directory, and whether their files match their lists."""
from occystrap_core import CheckResults, InvalidImage, OutputError, Settings
from occystrap_dir.file_list.files_check import check_tree, read_head
from occystrap_dir.file_list.head import ListedLayer
from occystrap_dir.file_list.unchanged import require_unchanged
from occystrap_dir.mounts.mount_files import CAP, CATALOG, LAYERS, TREES, MountCatalog, tree_name
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.removal import remove_tree


def listed_layer(root: str, directory: str) -> ListedLayer | None:
    """Return the layer that the list of a directory names; None if there is no readable list."""
    try:
        layer, = read_head(root, tree_name(directory)).layers
        return layer
    except (OSError, ValueError, InvalidImage):
        return None


def is_whole(root: str, listing: str, directory: str, full: bool, settings: Settings) -> bool:
    """Return whether a layer's files match a list."""
    results = CheckResults()
    try:
        check_tree(root, listing, directory, full, settings, results)
    except (OSError, InvalidImage):
        return False
    return not results.results


def remove_unnamed(root: str, settings: Settings) -> None:
    """Remove layers that no image in mount.json uses, with their lists.

    A layer that was changed after it was written stays, except with `force`. Raises OSError, and InvalidImage, before
    anything is removed, if mount.json cannot be read.
    """
    try:
        catalog = MountCatalog.parse(read_document(root, CATALOG, CAP), CATALOG)
    except FileNotFoundError:
        catalog = MountCatalog()
    named = {directory for image in catalog.images.values() for directory in image.directories}
    kept = named | {tree_name(directory) for directory in named}
    place = Beneath(root)
    for name in place.names(LAYERS):
        directory = f'{LAYERS}/{name}'
        if directory not in kept and _may_go(root, directory, settings):
            remove_tree(place, directory)
        elif directory not in kept:
            kept.add(tree_name(directory))
    for name in place.names(TREES):
        if f'{TREES}/{name}' not in kept:
            remove_tree(place, f'{TREES}/{name}')


def _may_go(root: str, directory: str, settings: Settings) -> bool:
    """Return whether a layer may be removed: it matches its list, or has none because the run that wrote it was killed.
    """
    try:
        if Beneath(root).status(tree_name(directory)):
            require_unchanged(root, directory, settings, tree_name(directory))
    except OutputError:
        return False
    return True
