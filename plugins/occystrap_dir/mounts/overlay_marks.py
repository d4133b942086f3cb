"""Whiteouts in the form of overlayfs (Documentation/filesystems/overlayfs.rst, whiteouts and opaque directories)."""
import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.tar import Whiteout
from occystrap_dir.extraction.mtree import xattr_keywords
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.mounts.mount_files import MountCatalog
from occystrap_dir.workspace.root import NoDirectory, join, naming_path, text

IMPLIED, CARRIER, MARKED = b'implied', b'carrier', b'marked'
"""Words for directories in the head of a layer's list: it has no entry, but something in it has; there is nothing in it
but marks; some of the names in it are deleted."""
OPAQUE = b'trusted.overlay.opaque', b'user.overlay.opaque'
"""The attribute as root sets it, and as others may."""


def mount_script(root: str, catalog: MountCatalog, user_marks: bool) -> bytes:
    """Return mount.sh for the images and their layers in a directory; raises OSError."""
    return catalog.script(user_marks, lambda directory: _hides_below(f'{root}/{directory}', user_marks))


def _hides_below(directory: str, user_marks: bool) -> bool:
    """Tell whether a layer's own directory is marked as opaque; raises OSError."""
    try:
        return os.getxattr(directory, _opaque(user_marks)) == b'y'
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return False
        raise


def _opaque(user_marks: bool) -> bytes:
    return OPAQUE[user_marks]


class OverlayMarks:
    """Devices 0/0 for what is deleted, an attribute for opaque directories; made when all of the layer is there.

    Anybody may make such a device (Linux 5.8). The attribute is in `trusted.`, which only root may set, or in `user.`.
    What only the layers below can tell is noted for whoever puts the layers on each other (stack.py).
    """

    def __init__(self, tree: Tree, user_marks: bool, named: Callable[[int], None]) -> None:
        """`named` hears of the length of what is kept in memory."""
        self._tree, self._named = tree, named
        self._opaque = _opaque(user_marks)
        self._marks: set[Whiteout] = set()
        self._untold: dict[bytes, bytes] = {}
        """Directories of which no entry tells, with the word for them."""
        self._word = IMPLIED
        self._marked: set[bytes] = set()
        self._emptied: set[bytes] = set()
        """Directories that are opaque."""

    def mark(self, mark: Whiteout) -> None:
        """Keep a whiteout for the end."""
        if mark not in self._marks:
            self._named(len(mark.path))
            self._marks.add(mark)

    def made(self, path: bytes) -> None:
        """Note a directory without an entry: its attributes, and whether it is there, are for lower layers to say.
        """
        if path not in self._untold:
            self._named(len(path))
        self._untold[path] = self._word

    def told(self, path: bytes) -> None:
        """Know that an entry tells of a directory after all."""
        self._untold.pop(path, None)

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Refuse what overlayfs would take for a whiteout; raises InvalidImage."""
        if numbers == (0, 0):
            raise InvalidImage(f'{text(path)} is a device 0, 0, which overlayfs takes for a whiteout')

    def finish(self) -> None:
        """Make the marks: what the layer has itself is not deleted, but a directory of it not merged with lower ones.

        Those of directories precede those of their children, which say nothing more. A mark below something that is no
        directory hides nothing.
        """
        marks, self._marks = sorted(self._marks), set()
        self._word = CARRIER
        for mark in marks:
            with suppress(NoDirectory), naming_path(mark.path):
                self._make(mark)

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the directories that no entry tells of, and those with deleted names in them."""
        untold = [(word, path) for path, word in sorted(self._untold.items()) if self._tree.record.is_directory(path)]
        return [*untold, *((MARKED, path) for path in sorted(self._marked))]

    def _make(self, mark: Whiteout) -> None:
        above, _, name = mark.path.rpartition(b'/')
        if mark.path and self._is_empty_below(above):
            return
        if mark.opaque:
            self._make_opaque(self._tree.root.directory(mark.path).path)
            return
        directory = self._tree.root.directory(above)
        path = join(directory.path, name)
        if self._tree.record.layer(path) is None:
            self._make_device(path, directory.descriptor, name)
            self._marked.add(directory.path)
        elif self._tree.record.is_directory(path):
            self._make_opaque(path)
            self.told(path)  # a new one, of which lower layers tell nothing

    def _is_empty_below(self, directory: bytes) -> bool:
        """Tell whether nothing of lower layers can be in a directory of this one."""
        if not self._emptied:
            return False
        found = self._tree.root.existing(directory)
        path = directory if found is None else found.path
        while path and path not in self._emptied:
            path = path.rpartition(b'/')[0]
        return path in self._emptied

    def _make_device(self, path: bytes, directory: int, name: bytes) -> None:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        os.utime(name, ns=(0, 0), dir_fd=directory, follow_symlinks=False)
        owner = b' uid=%d gid=%d' % (os.geteuid(), os.getegid()) if self._tree.setter.is_root else b''
        self._tree.record.put(
            path, self._tree.layer, b'type=char mode=0000%s time=0.000000000 device=native,0,0' % owner)

    def _make_opaque(self, path: bytes) -> None:
        if path in self._emptied:
            return
        os.setxattr(self._tree.root.plain(path), self._opaque, b'y')
        keywords = self._tree.record.keywords(path)
        self._tree.record.put(path, self._tree.layer, keywords + xattr_keywords({self._opaque: b'y'}))
        self._emptied.add(path)
