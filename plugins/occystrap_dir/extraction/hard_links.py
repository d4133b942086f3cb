"""Hard links of one layer: to existing files, or to files that come later in the layer."""
import os
from collections.abc import Callable

from occystrap_core import InvalidImage
from occystrap_dir.file_list.record import TreeRecord
from occystrap_dir.workspace.removal import Removal
from occystrap_dir.workspace.root import Root, join, naming_path, text


class HardLinks:
    """Makes hard links; those whose target does not exist yet, at the end of the layer.

    The attributes in a link's header are those of its target, and are not set again: through a link to a symlink that
    would change the symlink's target (CVE-2021-32760).
    """

    def __init__(self, root: Root, record: TreeRecord, removal: Removal, named: Callable[[int], None]) -> None:
        """`named` is called with the length of each name that is kept in memory."""
        self._root, self._record, self._removal, self._named = root, record, removal, named
        self.waiting: dict[bytes, bytes] = {}
        """Targets by path."""

    def add(self, path: bytes, target: bytes, layer: int) -> None:
        """Make a link, now or at the end; raises InvalidImage for a target that leads out, OSError."""
        if b'..' in target.split(b'/'):
            raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which has ..')
        if not self._link(path, target, layer):
            self._named(len(path) + len(target))
            self.waiting[path] = target

    def replaced(self, path: bytes) -> None:
        """Forget a waiting link whose path a later entry of the layer has."""
        self.waiting.pop(path, None)

    def finish(self, layer: int) -> None:
        """Make the waiting links; raises InvalidImage if the target of one does not exist, OSError.

        The target may be another waiting link, which is made first. A whiteout may have removed directories of links
        meanwhile: they are made before any link is followed, so that the order of the links makes no difference.
        """
        for path in self.waiting:
            with naming_path(path):
                self._root.directory(path.rpartition(b'/')[0])
        for first in list(self.waiting):
            here: bytes | None = first
            chain = []
            while here in self.waiting:
                target = self.waiting.pop(here)
                chain.append((here, target))
                here = self._plain(target)
            for path, target in reversed(chain):
                above, _, name = path.rpartition(b'/')
                with naming_path(path):
                    found = self._link(join(self._root.directory(above).path, name), target, layer)
                if not found:
                    raise InvalidImage(f'{text(path)} is a hard link to {_named(target)}, which does not exist')

    def _link(self, path: bytes, target: bytes, layer: int) -> bool:
        """Make a link; return False if its target does not exist."""
        source = self._existing(target)
        if source is None:
            return False
        if source == path:
            return True
        if self._record.is_directory(source):
            raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which is a directory')
        try:
            self._make(source, path)
        except FileExistsError:
            self._removal.everything(path)
            if self._record.layer(source) is None:
                raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which is in it') from None
            self._make(source, path)
        self._record.link(path, layer, source)
        return True

    def _existing(self, target: bytes) -> bytes | None:
        """Return the target's path without links in its directories, None if it does not exist."""
        source = self._plain(target)
        return source if source is not None and self._record.layer(source) is not None else None

    def _plain(self, target: bytes) -> bytes | None:
        """Return the target's path without links in its directories, None if its directory does not exist."""
        above, _, name = target.rpartition(b'/')
        directory = self._root.existing(above)
        return join(directory.path, name) if directory and name else None

    def _make(self, source: bytes, path: bytes) -> None:
        from_directory, _, from_name = source.rpartition(b'/')
        to_directory, _, to_name = path.rpartition(b'/')
        os.link(from_name, to_name, src_dir_fd=self._root.plain(from_directory),
                dst_dir_fd=self._root.plain(to_directory), follow_symlinks=False)


def _named(target: bytes) -> str:
    """Return a target for a message; an empty one is quoted, since it would not be seen."""
    return text(target) or "''"
