"""Whiteouts: marks that delete what lower layers have (image-spec layer.md, Whiteouts)."""
from typing import NamedTuple

PREFIX = b'.wh.'
OPAQUE = b'.wh..wh..opq'


class Whiteout(NamedTuple):
    """A mark: `path` is gone, or everything below the folder `path` is, if it is `opaque`."""

    path: bytes
    opaque: bool


def is_whiteout(path: bytes) -> bool:
    """Tell whether a plain path has the name of a mark, be it one that means something or not."""
    return path.rpartition(b'/')[2].startswith(PREFIX)


def whiteout_of(path: bytes) -> Whiteout | None:
    """Return what the mark at a plain path deletes; None if it is no mark, or one without a meaning.

    Other names that begin with `.wh..wh.` are aufs's own bookkeeping.
    """
    folder, slash, name = path.rpartition(b'/')
    if name == OPAQUE:
        return Whiteout(folder, True)
    target = name.removeprefix(PREFIX)
    if target == name or target in (b'', b'.', b'..') or target.startswith(PREFIX):
        return None
    return Whiteout(folder + slash + target, False)
