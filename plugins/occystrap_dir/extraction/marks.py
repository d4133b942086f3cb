"""What becomes of a layer's whiteouts: in a tree of merged layers they hide what lower layers have."""
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from occystrap_core.tar import Whiteout
from occystrap_dir.workspace.root import join

if TYPE_CHECKING:
    from occystrap_dir.extraction.tree import Tree


class Marks(Protocol):
    """Deals with whiteouts."""

    def mark(self, mark: Whiteout) -> None:
        """Take a whiteout; raises OSError."""

    def made(self, path: bytes) -> None:
        """Know that a directory was made of which no entry tells, or not yet."""

    def told(self, path: bytes) -> None:
        """Know that an entry tells of a directory."""

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Look whether a device may be made; raises InvalidImage if it would be taken for a mark."""

    def finish(self) -> None:
        """Know that the layer has come to its end."""

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Return what the list of files is to say before its lines, by words and paths."""


class Hiding:
    """Removes what lower layers have; what the whiteout's own layer brings, before and after it, stays."""

    def __init__(self, tree: 'Tree') -> None:
        self._tree = tree

    def mark(self, mark: Whiteout) -> None:
        """Remove a path, or what is in a directory; what is not there need not be removed."""
        tree = self._tree
        if mark.opaque:
            if directory := tree.root.existing(mark.path):
                tree.removal.hidden_in(directory.path)
            return
        above, _, name = mark.path.rpartition(b'/')
        found = tree.root.existing(above)
        if found and _exists(name, found.descriptor):
            tree.removal.hidden(join(found.path, name))

    def made(self, path: bytes) -> None:
        """It is like any other."""

    def told(self, path: bytes) -> None:
        """It is like any other."""

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Any will do."""

    def finish(self) -> None:
        """Nothing is left to do."""

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Nothing need be said."""
        return ()


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
        return True
    except FileNotFoundError:
        return False
