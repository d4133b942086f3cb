"""Hard links of one layer: to what is there already, or comes later in the layer."""
import os

from occystrap_core import InvalidImage
from occystrap_dir.extraction.record import TreeRecord
from occystrap_dir.extraction.removal import Removal
from occystrap_dir.extraction.root import Root, text


class HardLinks:
    """Makes links, those whose target is missing when the layer has come to its end.

    The attributes in a link's header are those of the file that it names, and are not set again: that would reach
    through a link to a symlink (CVE-2021-32760).
    """

    def __init__(self, root: Root, record: TreeRecord, removal: Removal) -> None:
        self._root, self._record, self._removal = root, record, removal
        self._waiting: list[tuple[bytes, bytes]] = []

    def add(self, path: bytes, target: bytes, layer: int) -> None:
        """Make a path one more name of the target; raises InvalidImage for a target that leads out, OSError."""
        if b'..' in target.split(b'/'):
            raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which leads up by ..')
        if not self._link(path, target, layer):
            self._waiting.append((path, target))

    def finish(self, layer: int) -> None:
        """Make the links that wait; raises InvalidImage for one whose target is not there, OSError."""
        waiting, self._waiting = self._waiting, []
        while waiting:
            left = [(path, target) for path, target in waiting if not self._link(path, target, layer)]
            if len(left) == len(waiting):
                path, target = left[0]
                raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which is not there')
            waiting = left

    def _link(self, path: bytes, target: bytes, layer: int) -> bool:
        """Make a link and tell whether its target is there."""
        source = self._existing(target)
        if source is None:
            return False
        if source == path:
            return True
        if self._record.keywords(source).startswith(b'type=dir'):
            raise InvalidImage(f'{text(path)} is a hard link to {text(target)}, which is a folder')
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
        above, _, name = target.rpartition(b'/')
        folder = self._root.existing(above)
        if folder is None or not name:
            return None
        source = folder.path + b'/' + name if folder.path else name
        return source if self._record.layer(source) is not None else None

    def _make(self, source: bytes, path: bytes) -> None:
        from_folder, _, from_name = source.rpartition(b'/')
        to_folder, _, to_name = path.rpartition(b'/')
        os.link(from_name, to_name, src_dir_fd=self._root.plain(from_folder), dst_dir_fd=self._root.plain(to_folder),
                follow_symlinks=False)
