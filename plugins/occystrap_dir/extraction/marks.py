"""Handling of whiteouts: in a tree of merged layers they remove what lower layers have."""
import os
from collections.abc import Sequence
from typing import Protocol

from occystrap_core.tar import Whiteout
from occystrap_dir.workspace.removal import Removal
from occystrap_dir.workspace.root import Root, join


class MarkedTree(Protocol):
    """The tree that a layer is applied to."""

    root: Root
    removal: Removal


class Marks(Protocol):
    """Handles the whiteouts of a layer."""

    def mark(self, mark: Whiteout) -> None:
        """Handle a whiteout; raises OSError."""

    def implicit_directory(self, path: bytes) -> None:
        """Record a directory that was made without an entry, or before its entry."""

    def explicit_directory(self, path: bytes) -> None:
        """Record a directory that has an entry."""

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Raise InvalidImage if a device would be taken for a whiteout."""

    def finish(self) -> None:
        """Handle the end of the layer; raises OSError."""

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Return notes for the head of the list of files: words and paths."""


class Hiding:
    """Removes what lower layers have; what the whiteout's own layer brings, before or after it, stays."""

    def __init__(self, tree: MarkedTree) -> None:
        self._tree = tree

    def mark(self, mark: Whiteout) -> None:
        """Remove a path, or all below a directory, if it exists."""
        tree = self._tree
        if mark.opaque:
            if directory := tree.root.existing(mark.path):
                tree.removal.hidden_in(directory.path)
            return
        above, _, name = mark.path.rpartition(b'/')
        found = tree.root.existing(above)
        if found and _exists(name, found.descriptor):
            tree.removal.hidden(join(found.path, name))

    def implicit_directory(self, path: bytes) -> None:
        """Do nothing: such directories need no special handling."""

    def explicit_directory(self, path: bytes) -> None:
        """Do nothing: such directories need no special handling."""

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Accept any device."""

    def finish(self) -> None:
        """Do nothing: whiteouts were applied at once."""

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Return no notes."""
        return ()


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
        return True
    except FileNotFoundError:
        return False
