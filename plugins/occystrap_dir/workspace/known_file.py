"""A list of images that each image of a run needs: it is read again only if the file was replaced or changed."""
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from occystrap_dir.workspace.beneath import Beneath, capped

T = TypeVar('T')

_TICK = 0.02
"""Two changes within this many seconds may have the same mtime."""
_MOST = 4

_Version = tuple[int, int, int, int, int]


class _Known(NamedTuple, Generic[T]):
    """A version of a file and its content; a later file with the same inode has another ctime."""

    version: _Version
    content: T


class KnownFile(Generic[T]):
    """The contents of files of one name, by directory."""

    def __init__(self, name: str, cap: int, parse: Callable[[bytes, str], T]) -> None:
        """`parse` makes the content, which must not be changed, from bytes and the path for errors."""
        self._name, self._cap, self._parse = name, cap, parse
        self._known: dict[str, _Known[T]] = {}
        self._lock = threading.Lock()

    def read(self, root: str) -> T:
        """Return the content; raises what `parse` raises, InvalidImage for a file that is too large, and OSError."""
        known = self._find(root)
        return self._read(root) if known is None else known.content

    def _find(self, root: str) -> _Known[T] | None:
        """Return the content of the file that has the name now; None if it was replaced, or changed since it was read.
        """
        with self._lock:
            known = self._known.get(root)
            status = Beneath(root).status(self._name) if known else None
            return known if known and status and _version(status) == known.version else None

    def _read(self, root: str) -> T:
        """Read the file, and keep its content unless the file is so new that a change could go unnoticed."""
        begun, path = time.time_ns(), f'{root}/{self._name}'
        with open(Beneath(root).open(self._name), 'rb') as file:
            status = os.fstat(file.fileno())
            content = self._parse(capped(file, self._cap, path), path)
        if begun - max(status.st_mtime_ns, status.st_ctime_ns) > _TICK * 1e9:
            self._keep(root, _Known(_version(status), content))
        return content

    def _keep(self, root: str, known: _Known[T]) -> None:
        with self._lock:
            self._known.pop(root, None)
            for old in list(self._known)[:max(0, len(self._known) - _MOST + 1)]:
                del self._known[old]
            self._known[root] = known


def _version(status: os.stat_result) -> _Version:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
