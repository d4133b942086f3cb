"""What a layer does to the entries of the layers below it (image-spec layer.md, Applying Changesets)."""
from occystrap_core.layertar.path_keys import COST, path_key, path_keys
from occystrap_core.layertar.whiteouts import is_whiteout, whiteout_of
from occystrap_core.name_memory import Share

SHADOWED, DELETED = 'shadowed', 'deleted'


class LayerEffects:
    """The paths that one layer has and deletes: keys are all that is kept of it."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._paths: set[bytes] = set()
        self._ends: set[bytes] = set()
        """Paths below which nothing of a lower layer is left: deleted, or something else than folders now."""
        self._deleted: set[bytes] = set()

    def add(self, path: bytes, is_folder: bool) -> None:
        """Take one of the layer's entries by its plain path; raises InvalidImage when all take too much memory."""
        if is_whiteout(path):
            if mark := whiteout_of(path):
                key = self._kept(mark.path)
                self._ends.add(key)
                if not mark.opaque:
                    self._deleted.add(key)
            return
        key = self._kept(path)
        self._paths.add(key)
        if not is_folder:
            self._ends.add(key)

    def _kept(self, path: bytes) -> bytes:
        key = path_key(path)
        self._share.take(len(key) + COST)
        return key

    def on(self, path: bytes) -> str:
        """Return what becomes of a lower layer's entry: SHADOWED, DELETED, or empty if nothing does."""
        key = path_key(path)
        if key in self._paths:
            return SHADOWED
        if key in self._deleted or any(folder in self._ends for folder in path_keys(path)):
            return DELETED
        return ''
