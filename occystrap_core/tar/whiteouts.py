"""Whiteouts (image-spec layer.md), and the effects of a layer on the entries of lower layers."""
from typing import NamedTuple

from occystrap_core.name_memory import Share
from occystrap_core.tar.path_keys import COST, path_key, path_keys

PREFIX = b'.wh.'
OPAQUE = b'.wh..wh..opq'
_CACHED = 4096
"""Most directories whose state is cached; a path has up to 2048."""


class Whiteout(NamedTuple):
    """A whiteout: deletes `path`, or, if `opaque`, everything below the directory `path`."""

    path: bytes
    opaque: bool


def is_whiteout(path: bytes) -> bool:
    """Return whether a plain path has the name of a whiteout, even one without an effect."""
    return path.rpartition(b'/')[2].startswith(PREFIX)


def whiteout_of(path: bytes) -> Whiteout | None:
    """Return what the whiteout at a plain path deletes; None if it is not a whiteout or has no effect.

    Other names that begin with `.wh..wh.` are internal to aufs.
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
    """The paths that one layer has and deletes, kept as keys only."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._paths: set[bytes] = set()
        self._ends: set[bytes] = set()
        """Paths below which no entry of a lower layer remains: deleted, or no directories any more."""
        self._deleted: set[bytes] = set()
        self._above: dict[bytes, bool] = {}
        """Directories that were looked up: whether they, or any directory above them, are among these."""

    def add(self, path: bytes, is_directory: bool) -> None:
        """Add an entry of the layer by its plain path; raises InvalidImage if the paths need too much memory."""
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
        """Return the effect on a lower layer's entry: SHADOWED, DELETED, or empty for none."""
        key = path_key(path)
        if key in self._paths:
            return SHADOWED
        return DELETED if key in self._deleted or self._ends_above(path) else ''

    def _ends_above(self, path: bytes) -> bool:
        """Return whether no entry of lower layers remains at a path; cached directories end the search."""
        passed, ends = list[bytes](), False
        for key in path_keys(path) if self._ends else ():
            known = self._above.get(key, key in self._ends or None)
            if known is not None:
                ends = known
                break
            passed.append(key)
        if len(self._above) > _CACHED:
            self._above.clear()
        self._above.update(dict.fromkeys(passed, ends))
        return ends
