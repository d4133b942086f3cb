"""Removing what lower layers, or earlier entries, have brought: everything at a path, or all but what is to stay."""
import os
from typing import Protocol

from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.root import Root, join

_Names = list[tuple[bytes, bool]]


class Keeper(Protocol):
    """Knows what the current layer has brought, and hears of what becomes of the rest."""

    def is_own(self, path: bytes) -> bool:
        """Tell whether the current layer has brought a path, which stays when a mark hides it."""

    def is_whole(self, directory: bytes) -> bool:
        """Tell whether all that is below a directory is known to stay, so that nobody need look there."""

    def set_whole(self, directory: bytes) -> None:
        """Know that whatever is still below a directory stays."""

    def gone(self, path: bytes) -> None:
        """Know that a path was removed."""

    def left(self, path: bytes) -> None:
        """Know that a directory is hidden, but has to be left for what stays in it."""


class Removal:
    """Removes from one tree. Nobody looks twice at what stays of one layer, however often that is hidden."""

    def __init__(self, root: Root, keeper: Keeper | None = None, unlocks: bool = False) -> None:
        """Without a keeper everything goes; `unlocks` restores the permission to read directories and to empty them."""
        self._root, self._keeper, self._unlocks = root, keeper, unlocks

    def everything(self, path: bytes) -> None:
        """Remove what is at a path without links, and what is below it; raises OSError."""
        self._remove(path, None)

    def hidden(self, path: bytes) -> None:
        """Remove the same, but for what stays; raises OSError."""
        self._remove(path, self._keeper)

    def hidden_in(self, directory: bytes) -> None:
        """Remove what is in a directory, but for what stays; raises OSError."""
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
        """Remove what is in a directory, the deepest first; memory holds only the names on one path."""
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
        os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory))
        return True
    except OSError:
        return False


def _set_open(name: bytes, directory: int) -> None:
    """Give a directory the mode 0700; raises NotADirectoryError for anything else, a link as well."""
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.chmod(f'/proc/self/fd/{descriptor}', 0o700)
    finally:
        os.close(descriptor)


def remove_tree(place: Beneath, name: str) -> None:
    """Remove a directory of ours and all below it, however deep, or a file; raises OSError."""
    with place.above(name) as (above, last):
        root = Root(above)
        try:
            Removal(root, unlocks=os.geteuid() != 0).everything(os.fsencode(last))
        finally:
            root.close()
