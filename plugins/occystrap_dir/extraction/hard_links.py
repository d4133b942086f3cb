"""Hard links of one layer: to what is there already, or comes later in the layer."""
import os
from collections.abc import Callable

from occystrap_core import InvalidImage
from occystrap_dir.extraction.record import TreeRecord
from occystrap_dir.workspace.removal import Removal
from occystrap_dir.workspace.root import Root, join, naming_path, text


class HardLinks:
    """Makes links, those whose target is missing when the layer has come to its end.

    The attributes in a link's header are those of the file that it names, and are not set again: that would reach
    through a link to a symlink (CVE-2021-32760).
    """

    def __init__(self, root: Root, record: TreeRecord, removal: Removal, named: Callable[[int], None]) -> None:
        """`named` hears of the length of what is kept in memory."""
        self._root, self._record, self._removal, self._named = root, record, removal, named
        self.waiting: dict[bytes, bytes] = {}
        """Targets by path."""

    def add(self, path: bytes, target: bytes, layer: int) -> None:
        """Make a path one more name of the target; raises InvalidImage for a target that leads out, OSError."""
        if b'..' in target.split(b'/'):
            raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which leads up by ..')
        self.replaced(path)
        if not self._link(path, target, layer):
            self._named(len(path) + len(target))
            self.waiting[path] = target

    def replaced(self, path: bytes) -> None:
        """Know that a later entry of the layer has this path, so that no link is to be made there."""
        self.waiting.pop(path, None)

    def finish(self, layer: int) -> None:
        """Make the links that wait; raises InvalidImage for one whose target is not there, OSError.

        One may be to another that waits: that is made first, so that each is looked at once.
        """
        for first in list(self.waiting):
            path: bytes | None = first
            chain = []
            while path in self.waiting:
                target = self.waiting.pop(path)
                chain.append((path, target))
                path = self._plain(target)
            for path, target in reversed(chain):
                with naming_path(path):
                    found = self._link(path, target, layer)
                if not found:
                    raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which is not there')

    def _link(self, path: bytes, target: bytes, layer: int) -> bool:
        """Make a link and tell whether its target is there."""
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
                raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which lies in it') from None
            self._make(source, path)
        self._record.link(path, layer, source)
        return True

    def _existing(self, target: bytes) -> bytes | None:
        """Return the target's path without links on the way, None where nothing is."""
        source = self._plain(target)
        return source if source is not None and self._record.layer(source) is not None else None

    def _plain(self, target: bytes) -> bytes | None:
        """Return the target's path without links on the way, None where no directory has it."""
        above, _, name = target.rpartition(b'/')
        directory = self._root.existing(above)
        return join(directory.path, name) if directory and name else None

    def _make(self, source: bytes, path: bytes) -> None:
        from_directory, _, from_name = source.rpartition(b'/')
        to_directory, _, to_name = path.rpartition(b'/')
        os.link(from_name, to_name, src_dir_fd=self._root.plain(from_directory),
                dst_dir_fd=self._root.plain(to_directory), follow_symlinks=False)
