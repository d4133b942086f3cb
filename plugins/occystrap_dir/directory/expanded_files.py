"""Names in `dir://` for unpacked files of an image and their list, and handling those of earlier runs."""
from collections.abc import Collection

from occystrap_core import Settings
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.removal import remove_tree

TREES, UNPACKING = f'{STATE}/trees', f'{STATE}/unpacking'


def expanded_name(manifest: str) -> str:
    """Return the name of the directory for the files of a manifest's image."""
    return manifest.removesuffix('.json')


def tree_name(manifest: str) -> str:
    """Return the name of the list of files of that directory."""
    return f'{TREES}/{expanded_name(manifest)}.mtree'


def coming_name(manifest: str) -> str:
    """Return the name of the new list of files while the directory is being replaced; a killed run may leave both
    lists."""
    return f'{tree_name(manifest)}.coming'


def lists_of(place: Beneath, manifest: str) -> list[str]:
    """Return the lists of files, of which one describes the directory; none if this program did not make it. Raises
    OSError."""
    return [name for name in (tree_name(manifest), coming_name(manifest)) if place.status(name)]


def spare_expansions(root: str, manifests: Collection[str], settings: Settings) -> None:
    """Raise OutputError if a directory to be replaced or removed was changed by others; raises OSError."""
    for manifest in manifests:
        if lists := lists_of(Beneath(root), manifest):
            from occystrap_dir.file_list.unchanged import require_unchanged  # late, as few images are unpacked
            require_unchanged(root, expanded_name(manifest), settings, *lists)


def remove_expansions(root: str, manifests: Collection[str]) -> None:
    """Remove the unpacked files of manifests that were replaced or removed, and their lists; raises OSError."""
    place = Beneath(root)
    for manifest in manifests:
        lists = lists_of(place, manifest)
        if lists and place.is_directory(expanded_name(manifest)):
            remove_tree(place, expanded_name(manifest))
        for each in lists:
            place.unlink(each)


def remove_if_empty(root: str) -> None:
    """Remove the directories that `begin` made if they are empty; raises OSError."""
    for name in (UNPACKING, TREES):
        Beneath(root).remove_empty(name)
