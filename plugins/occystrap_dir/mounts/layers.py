"""The layers in a folder: what their lists of files say, and whether the files are like that."""
from typing import Self

from occystrap_core import CheckResults, InvalidImage, Settings, value
from occystrap_core.oci import Digest
from occystrap_dir.beneath import Beneath
from occystrap_dir.extraction.files_check import check_tree
from occystrap_dir.extraction.removal import remove_tree
from occystrap_dir.mounts.catalog import CAP, CATALOG, LAYERS, TREES, MountCatalog, tree_name
from occystrap_dir.names import read_document

_MARK = b'#layer'


@value
class LayerListing:
    """What the first line of a layer's list of files says: its diff_id, and the size of its tar in bytes."""

    diff_id: Digest
    size: int

    @property
    def first_line(self) -> bytes:
        """The line."""
        return b'%s %s %d\n' % (_MARK, self.diff_id.encode(), self.size)

    @classmethod
    def read(cls, root: str, folder: str) -> Self | None:
        """Return what the list of a layer says; None without a readable one."""
        try:
            with open(Beneath(root).open(tree_name(folder)), 'rb') as file:
                mark, diff_id, size = file.readline(200).split()
            return cls(Digest(diff_id.decode()), int(size)) if mark == _MARK else None
        except (OSError, ValueError, InvalidImage):
            return None


def is_whole(root: str, folder: str, full: bool, settings: Settings) -> bool:
    """Tell whether a layer's files are as its list says."""
    results = CheckResults()
    try:
        check_tree(f'{root}/{tree_name(folder)}', f'{root}/{folder}', folder, full, settings, results)
    except (OSError, InvalidImage):
        return False
    return not results.results


def remove_unnamed(root: str) -> None:
    """Remove layers that no image in mount.json has, with their lists; nothing while that cannot be read."""
    try:
        catalog = MountCatalog.parse(read_document(root, CATALOG, CAP), CATALOG)
    except FileNotFoundError:
        catalog = MountCatalog()
    except InvalidImage:
        return
    named = {folder for image in catalog.images.values() for folder in image.layers}
    place = Beneath(root)
    for name in place.names(LAYERS):
        if f'{LAYERS}/{name}' not in named:
            remove_tree(place, f'{LAYERS}/{name}')
    for name in place.names(TREES):
        if f'{TREES}/{name}' not in {tree_name(folder) for folder in named}:
            place.unlink(f'{TREES}/{name}')
