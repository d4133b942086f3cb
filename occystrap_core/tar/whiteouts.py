"""Whiteouts (image-spec layer.md), and what a layer does to the entries of the layers below it."""
from typing import NamedTuple

from occystrap_core.name_memory import Share
from occystrap_core.tar.path_keys import COST, path_key, path_keys

PREFIX = b'.wh.'
OPAQUE = b'.wh..wh..opq'
_ASKED = 4096
"""Directories of which it is kept what became of them; a path has up to 2048."""


class Whiteout(NamedTuple):
    """A mark: `path` is gone, or everything below the directory `path` is, if it is `opaque`."""

    path: bytes
    opaque: bool


def is_whiteout(path: bytes) -> bool:
    """Tell whether a plain path has the name of a mark, be it one that means something or not."""
    return path.rpartition(b'/')[2].startswith(PREFIX)


def whiteout_of(path: bytes) -> Whiteout | None:
    """Return what the mark at a plain path deletes; None if it is no mark, or one without a meaning.

    Other names that begin with `.wh..wh.` are aufs's own bookkeeping.
    """
    directory, slash, name = path.rpartition(b'/')
    if name == OPAQUE:
        return Whiteout(directory, True)
    target = name.removeprefix(PREFIX)
    if target == name or target in (b'', b'.', b'..') or target.startswith(PREFIX):
        return None
    return Whiteout(directory + slash + target, False)


SHADOWED, DELETED = 'shadowed', 'deleted'


class LayerEffects:
    """The paths that one layer has and deletes: keys are all that is kept of it."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._paths: set[bytes] = set()
        self._ends: set[bytes] = set()
        """Paths below which nothing of a lower layer is left: deleted, or something else than directories now."""
        self._deleted: set[bytes] = set()
        self._above: dict[bytes, bool] = {}
        """Directories that were asked about: whether they, or any above them, are among these."""

    def add(self, path: bytes, is_directory: bool) -> None:
        """Take one of the layer's entries by its plain path; raises InvalidImage when all take too much memory."""
        if is_whiteout(path):
            if mark := whiteout_of(path):
                key = self._kept(mark.path)
                self._above.clear()
                self._ends.add(key)
                if not mark.opaque:
                    self._deleted.add(key)
            return
        key = self._kept(path)
        self._above.clear()
        self._paths.add(key)
        if not is_directory:
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
        return DELETED if key in self._deleted or self._ends_above(path) else ''

    def _ends_above(self, path: bytes) -> bool:
        """Return whether nothing of lower layers is left at a path; what is known of a directory ends the way up."""
        passed, ends = list[bytes](), False
        for key in path_keys(path) if self._ends else ():
            known = self._above.get(key, key in self._ends or None)
            if known is not None:
                ends = known
                break
            passed.append(key)
        if len(self._above) > _ASKED:
            self._above.clear()
        self._above.update(dict.fromkeys(passed, ends))
        return ends
