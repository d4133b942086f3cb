"""A memory limit for the names of layers' entries, since a small blob can unpack to gigabytes of names."""
import threading

from occystrap_core.errors import InvalidImage

MOST = 192 << 20
"""The limit for all layers being read, in bytes: enough for a million entries."""
_PIECE = 64 << 10


class NameMemory:
    """Memory for names, which all parts of a run share."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self._taken = most, 0
        self._lock = threading.Lock()

    def share(self) -> 'Share':
        """Return the share of one user."""
        return Share(self)

    def grant(self, count: int) -> None:
        """Reserve bytes; raises InvalidImage if not enough are left."""
        with self._lock:
            if self._taken + count > self.most:
                raise InvalidImage(f'the names in the layers take more than {self.most} bytes of memory: if that is '
                                   'intended, allow more with --max-names')
            self._taken += count

    def give_back(self, count: int) -> None:
        """Release bytes."""
        with self._lock:
            self._taken -= count


class Share:
    """The memory used by one holder of names, released together with it."""

    def __init__(self, memory: NameMemory) -> None:
        self._memory, self._granted, self._used = memory, 0, 0

    def take(self, count: int) -> None:
        """Count bytes that are kept from now on; raises InvalidImage if they are too many."""
        self._used += count
        if self._used > self._granted:
            needed = max(_PIECE, self._used - self._granted)
            self._memory.grant(needed)
            self._granted += needed

    def close(self) -> None:
        """Release everything."""
        self._memory.give_back(self._granted)
        self._granted = self._used = 0

    def __del__(self) -> None:
        self.close()
