"""What a layer does to the entries of the layers below it (image-spec layer.md, Applying Changesets)."""
from collections.abc import Iterator

from occystrap_core.layertar.whiteouts import is_whiteout, whiteout_of

SHADOWED, DELETED = 'shadowed', 'deleted'


class LayerEffects:
    """The paths that one layer has and deletes: names are all that is kept of it."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()
        self._ends: set[bytes] = set()
        """Paths below which nothing of a lower layer is left: deleted, or something else than folders now."""
        self._deleted: set[bytes] = set()

    def add(self, path: bytes, is_folder: bool) -> None:
        """Take one of the layer's entries by its plain path."""
        if is_whiteout(path):
            if mark := whiteout_of(path):
                self._ends.add(mark.path)
                if not mark.opaque:
                    self._deleted.add(mark.path)
            return
        self._paths.add(path)
        if not is_folder:
            self._ends.add(path)

    def on(self, path: bytes) -> str:
        """Return what becomes of a lower layer's entry: SHADOWED, DELETED, or empty if nothing does."""
        if path in self._paths:
            return SHADOWED
        if path in self._deleted or any(folder in self._ends for folder in above(path)):
            return DELETED
        return ''


def above(path: bytes) -> Iterator[bytes]:
    """Yield the folders that a plain path lies in, the nearest first, the root last."""
    while path:
        path = path.rpartition(b'/')[0]
        yield path
