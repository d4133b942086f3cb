"""Whiteouts in the form of overlayfs (Documentation/filesystems/overlayfs.rst, whiteouts and opaque directories)."""
import errno
import os
import stat
from collections.abc import Sequence

from occystrap_core import InvalidImage, Whiteout
from occystrap_dir.extraction.mtree import xattr_keywords
from occystrap_dir.extraction.root import join, text
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.mounts.catalog import MountCatalog


def mount_script(root: str, catalog: MountCatalog, user_marks: bool) -> bytes:
    """Return mount.sh for the images and their layers in a folder; raises OSError."""
    return catalog.script(user_marks, lambda folder: _hides_below(f'{root}/{folder}', user_marks))


def _hides_below(folder: str, user_marks: bool) -> bool:
    """Tell whether a layer's own folder is marked as opaque; raises OSError."""
    try:
        return os.getxattr(folder, _opaque(user_marks)) == b'y'
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return False
        raise


def _opaque(user_marks: bool) -> bytes:
    return b'user.overlay.opaque' if user_marks else b'trusted.overlay.opaque'


class OverlayMarks:
    """Devices 0/0 for what is deleted, an attribute for opaque folders; made when all of the layer is there.

    Anybody may make such a device (Linux 5.8). The attribute is in `trusted.`, which only root may set, or in `user.`.
    """

    def __init__(self, tree: Tree, user_marks: bool) -> None:
        self._tree = tree
        self._opaque = _opaque(user_marks)
        self._marks: dict[Whiteout, None] = {}

    def mark(self, mark: Whiteout) -> None:
        """Keep a whiteout for the end."""
        self._marks[mark] = None

    def check_device(self, path: bytes, numbers: tuple[int, int]) -> None:
        """Refuse what overlayfs would take for a whiteout; raises InvalidImage."""
        if numbers == (0, 0):
            raise InvalidImage(f'{text(path)} is a device 0, 0, which overlayfs takes for a whiteout')

    def finish(self) -> None:
        """Make the marks: what the layer has itself is not deleted, but a folder of it not merged with lower ones."""
        marks, self._marks = self._marks, {}
        for mark in marks:
            if mark.opaque:
                self._make_opaque(self._tree.root.folder(mark.path).path)
                continue
            above, _, name = mark.path.rpartition(b'/')
            folder = self._tree.root.folder(above)
            path = join(folder.path, name)
            if self._tree.record.layer(path) is None:
                self._make_device(path, folder.descriptor, name)
            elif self._tree.record.keywords(path).startswith(b'type=dir'):
                self._make_opaque(path)

    def notes(self) -> Sequence[tuple[bytes, bytes]]:
        """Nothing."""
        return ()

    def _make_device(self, path: bytes, folder: int, name: bytes) -> None:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder)
        os.utime(name, ns=(0, 0), dir_fd=folder, follow_symlinks=False)
        owner = b' uid=%d gid=%d' % (os.geteuid(), os.getegid()) if self._tree.setter.is_root else b''
        self._tree.record.put(
            path, self._tree.layer, b'type=char mode=0000%s time=0.000000000 device=native,0,0' % owner)

    def _make_opaque(self, path: bytes) -> None:
        os.setxattr(self._tree.root.plain(path), self._opaque, b'y')
        keyword = xattr_keywords({self._opaque: b'y'})
        keywords = self._tree.record.keywords(path)
        if keyword not in keywords:
            self._tree.record.put(path, self._tree.layer, keywords + keyword)
