"""Removing files of lower layers or earlier entries: everything at a path, or all but what must stay."""
import os
from typing import Protocol

from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.root import Root, join

_Names = list[tuple[bytes, bool]]


class Keeper(Protocol):
    """Knows which paths the current layer brought, and is notified of removals."""

    def is_own(self, path: bytes) -> bool:
        """Return whether the current layer contains a path, so that whiteouts do not remove it."""

    def is_whole(self, directory: bytes) -> bool:
        """Return whether everything below a directory is known to stay, so that it need not be searched."""

    def set_whole(self, directory: bytes) -> None:
        """Record that everything that is still below a directory stays."""

    def gone(self, path: bytes) -> None:
        """Record that a path was removed."""

    def left(self, path: bytes) -> None:
        """Record that a directory was to be removed, but is left because something in it stays."""


class Removal:
    """Removes files and directories from one tree.

    What stays of a layer is searched once, however many whiteouts cover it.
    """

    def __init__(self, root: Root, keeper: Keeper | None = None, unlocks: bool = False) -> None:
        """Without a keeper everything is removed; with `unlocks`, directories are first made readable and writable."""
        self._root, self._keeper, self._unlocks = root, keeper, unlocks

    def everything(self, path: bytes) -> None:
        """Remove a path, reached without following links, and all below it; raises OSError."""
        self._remove(path, None)

    def hidden(self, path: bytes) -> None:
        """Remove a path and all below it, except what the keeper keeps; raises OSError."""
        self._remove(path, self._keeper)

    def hidden_in(self, directory: bytes) -> None:
        """Remove all below a directory, except what the keeper keeps; raises OSError."""
        if self._keeper is None or not self._keeper.is_whole(directory):
            self._empty(directory, self._keeper)

    def _remove(self, path: bytes, keeper: Keeper | None) -> None:
        directory, _, name = path.rpartition(b'/')
        if not _is_directory(name, self._root.plain(directory)):
            self._remove_file(path, keeper)
        else:
            if keeper is None or not keeper.is_whole(path):
                self._empty(path, keeper)
            self._remove_directory(path, keeper)

    def _empty(self, directory: bytes, keeper: Keeper | None) -> None:
        """Remove all below a directory, deepest first; memory holds the names of the directories on one path only."""
        self._root.gone(directory)
        levels: list[tuple[bytes, _Names]] = [(directory, self._names(directory))]
        while levels:
            path, names = levels[-1]
            if not names:
                levels.pop()
                if keeper:
                    keeper.set_whole(path)
                if levels:
                    self._remove_directory(path, keeper)
                continue
            name, is_directory = names.pop()
            each = join(path, name)
            if not is_directory:
                self._remove_file(each, keeper)
            elif keeper and keeper.is_whole(each):
                self._remove_directory(each, keeper)
            else:
                levels.append((each, self._names(each)))

    def _names(self, directory: bytes) -> _Names:
        if self._unlocks:
            above, _, name = directory.rpartition(b'/')
            _set_open(name, self._root.plain(above))
        with os.scandir(self._root.plain(directory)) as entries:
            return [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]

    def _remove_file(self, path: bytes, keeper: Keeper | None) -> None:
        if keeper and keeper.is_own(path):
            return
        directory, _, name = path.rpartition(b'/')
        os.unlink(name, dir_fd=self._root.plain(directory))
        self._gone(path)

    def _remove_directory(self, path: bytes, keeper: Keeper | None) -> None:
        """Remove a directory unless it, or something in it, stays."""
        if keeper and keeper.is_own(path):
            return
        above, _, name = path.rpartition(b'/')
        if keeper and self._names_any(path):
            keeper.left(path)
            return
        self._root.gone(path)
        os.rmdir(name, dir_fd=self._root.plain(above))
        self._gone(path)

    def _names_any(self, directory: bytes) -> bool:
        with os.scandir(self._root.plain(directory)) as entries:
            return any(entries)

    def _gone(self, path: bytes) -> None:
        if self._keeper:
            self._keeper.gone(path)


def _is_directory(name: bytes, directory: int) -> bool:
    try:
        os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory))
        return True
    except OSError:
        return False


def _set_open(name: bytes, directory: int) -> None:
    """Give a directory the mode 0700; raises NotADirectoryError for anything else, including a link."""
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        os.chmod(f'/proc/self/fd/{descriptor}', 0o700)
    finally:
        os.close(descriptor)


def remove_tree(place: Beneath, name: str) -> None:
    """Remove a directory and all below it, however deep, or a file; raises OSError."""
    with place.above(name) as (above, last):
        root = Root(above)
        try:
            Removal(root, unlocks=os.geteuid() != 0).everything(os.fsencode(last))
        finally:
            root.close()
