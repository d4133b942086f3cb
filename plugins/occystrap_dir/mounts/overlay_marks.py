"""Whiteouts in the form of overlayfs (Documentation/filesystems/overlayfs.rst, whiteouts and opaque directories)."""
import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.tar import Whiteout
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.file_list.mtree import xattr_keywords
from occystrap_dir.mounts.mount_files import MountCatalog
from occystrap_dir.workspace.root import NoDirectory, join, naming_path, text

IMPLIED, CARRIER, MARKED = b'implied', b'carrier', b'marked'
"""Words for directories in the head of a layer's list: one without an entry, made for entries in it; one made only for
marks; one in which names are deleted."""
OPAQUE = b'trusted.overlay.opaque', b'user.overlay.opaque'
"""The attribute that root sets, and the one that other users may set."""


def mount_script(root: str, catalog: MountCatalog, user_marks: bool) -> bytes:
    """Return mount.sh for the images and their layers in a directory; raises OSError."""
    return catalog.script(user_marks, lambda directory: _hides_below(f'{root}/{directory}', user_marks))


def _hides_below(directory: str, user_marks: bool) -> bool:
    """Return whether the root of a layer is marked as opaque; raises OSError."""
    try:
        return os.getxattr(directory, _opaque(user_marks)) == b'y'
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return False
        raise


def _opaque(user_marks: bool) -> bytes:
    return OPAQUE[user_marks]


class OverlayMarks:
    """Makes devices 0/0 for deleted names and attributes for opaque directories, at the end of the layer.

    Every user may make such a device (Linux 5.8). The attribute is in `trusted.`, which only root may set, or in
    `user.`. What depends on the layers below is noted for stacking them (stack.py).
    """

    def __init__(self, tree: Tree, user_marks: bool, named: Callable[[int], None]) -> None:
        """`named` is called with the length of each name that is kept in memory."""
        self._tree, self._named = tree, named
        self._opaque = _opaque(user_marks)
        self._marks: set[Whiteout] = set()
        self._implicit: dict[bytes, bytes] = {}
        """Directories without an entry, with the word for them."""
        self._word = IMPLIED
        self._marked: set[bytes] = set()
        self._opaque_directories: set[bytes] = set()

    def mark(self, mark: Whiteout) -> None:
        """Remember a whiteout until `finish`."""
        if mark not in self._marks:
            self._named(len(mark.path))
            self._marks.add(mark)

    def implicit_directory(self, path: bytes) -> None:
        """Note a directory without an entry: its attributes, and whether it exists, depend on lower layers."""
        if path not in self._implicit:
            self._named(len(path))
        self._implicit[path] = self._word

    def explicit_directory(self, path: bytes) -> None:
        """Forget the note, since the directory has an entry after all."""
        self._implicit.pop(path, None)

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Raise InvalidImage for a device that overlayfs would take for a whiteout."""
        if numbers == (0, 0):
            raise InvalidImage(f'{text(path)} is a device 0, 0, which overlayfs takes for a whiteout')

    def finish(self) -> None:
        """Make the marks. What the layer itself has is not deleted, but made opaque if it is a directory.

        Marks of directories come before those of their children, which then have no effect. A mark below something
        that is not a directory hides nothing.
        """
        marks, self._marks = sorted(self._marks), set()
        self._word = CARRIER
        for mark in marks:
            with suppress(NoDirectory), naming_path(mark.path):
                self._make(mark)

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the directories without entries, and those with deleted names in them."""
        implicit = [(word, path) for path, word in sorted(self._implicit.items())
                    if self._tree.record.is_directory(path)]
        return [*implicit, *((MARKED, path) for path in sorted(self._marked))]

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
            self.explicit_directory(path)  # it does not depend on lower layers any more

    def _is_empty_below(self, directory: bytes) -> bool:
        """Return whether a directory, or one above it, is opaque, so that nothing of lower layers is in it."""
        if not self._opaque_directories:
            return False
        found = self._tree.root.existing(directory)
        path = directory if found is None else found.path
        while path and path not in self._opaque_directories:
            path = path.rpartition(b'/')[0]
        return path in self._opaque_directories

    def _make_device(self, path: bytes, directory: int, name: bytes) -> None:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        os.utime(name, ns=(0, 0), dir_fd=directory, follow_symlinks=False)
        owner = b' uid=%d gid=%d' % (os.geteuid(), os.getegid()) if self._tree.setter.is_root else b''
        self._tree.record.put(
            path, self._tree.layer, b'type=char device=native,0,0 mode=0000%s time=0.000000000' % owner)

    def _make_opaque(self, path: bytes) -> None:
        if path in self._opaque_directories:
            return
        os.setxattr(self._tree.root.plain(path), self._opaque, b'y')
        keywords = self._tree.record.keywords(path)
        self._tree.record.put(path, self._tree.layer, keywords + xattr_keywords({self._opaque: b'y'}))
        self._opaque_directories.add(path)
