"""Removing what lower layers, or earlier entries, have brought: everything at a path, or all but what is to stay."""
import os
from collections.abc import Callable

from occystrap_dir.beneath import Beneath
from occystrap_dir.extraction.root import Root, join


class Removal:
    """Removes from one tree."""

    def __init__(self, root: Root, gone: Callable[[bytes], None], left: Callable[[bytes], None],
                 stays: Callable[[bytes], bool]) -> None:
        """`stays` tells what marks keep; `gone` hears of all that is removed, `left` of a folder that has to be left
        for what stays in it."""
        self._root, self._gone, self._left, self._stays = root, gone, left, stays

    def everything(self, path: bytes) -> None:
        """Remove what is at a path without links, and what is below it; raises OSError."""
        self._remove(path, lambda each: False)

    def hidden(self, path: bytes) -> None:
        """Remove the same, but for what stays; raises OSError."""
        self._remove(path, self._stays)

    def hidden_in(self, folder: bytes) -> None:
        """Remove what is in a folder, but for what stays; raises OSError."""
        with os.scandir(self._root.plain(folder)) as entries:
            names = [os.fsencode(entry.name) for entry in entries]
        for name in names:
            self._remove(join(folder, name), self._stays)

    def _remove(self, path: bytes, stays: Callable[[bytes], bool]) -> None:
        self._root.gone(path)
        for each, is_folder in reversed(_below(self._root, path)):
            if stays(each):
                continue
            folder, _, name = each.rpartition(b'/')
            if not is_folder:
                os.unlink(name, dir_fd=self._root.plain(folder))
            elif not _remove_folder(self._root, each, folder, name):
                self._left(each)
                continue
            self._gone(each)


def _remove_folder(root: Root, path: bytes, above: bytes, name: bytes) -> bool:
    """Remove a folder unless something stays in it; tell whether it is gone."""
    with os.scandir(root.plain(path)) as entries:
        if any(entries):
            return False
    root.gone(path)
    os.rmdir(name, dir_fd=root.plain(above))
    return True


def _below(root: Root, path: bytes) -> list[tuple[bytes, bool]]:
    """Return a path and all that is below it, folders before what is in them, each with whether it is a folder."""
    folder, _, name = path.rpartition(b'/')
    found = [(path, _is_folder(name, root.plain(folder)))]
    for each, is_folder in found:  # grows while it is gone through
        if is_folder:
            with os.scandir(root.plain(each)) as entries:
                found += [(join(each, os.fsencode(entry.name)), entry.is_dir(follow_symlinks=False))
                          for entry in entries]
    return found


def _is_folder(name: bytes, folder: int) -> bool:
    try:
        os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder))
        return True
    except OSError:
        return False


def remove_tree(place: Beneath, name: str) -> None:
    """Remove a folder of ours and all below it, however deep, or a file; raises OSError."""
    with place.above(name) as (above, last):
        root, path = Root(above), os.fsencode(last)
        try:
            if os.geteuid() != 0:
                _unlock(root, path)
            Removal(root, lambda each: None, lambda each: None, lambda each: False).everything(path)
        finally:
            root.close()


def _unlock(root: Root, path: bytes) -> None:
    """Give back to ourselves the right to look into folders and to empty them."""
    pending = [path]
    while pending:
        each = pending.pop()
        folder, _, name = each.rpartition(b'/')
        if _set_open(name, root.plain(folder)):
            with os.scandir(root.plain(each)) as entries:
                pending += [join(each, os.fsencode(entry.name)) for entry in entries
                            if entry.is_dir(follow_symlinks=False)]


def _set_open(name: bytes, folder: int) -> bool:
    """Give a folder the mode 0700 and return True; what else is there, a link as well, is left as it is."""
    try:
        descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except NotADirectoryError:
        return False
    try:
        os.chmod(f'/proc/self/fd/{descriptor}', 0o700)
        return True
    finally:
        os.close(descriptor)
