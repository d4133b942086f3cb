"""The memory that names of a layer's entries may take: a small blob can unpack to gigabytes of nothing else."""
import threading

from occystrap_core.errors import InvalidImage

MOST = 192 << 20
"""Bytes for all layers that are looked at at once, enough for a million entries."""
_PIECE = 64 << 10


class NameMemory:
    """What all parts of a run may take together."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._taken = most, 0
        self._lock = threading.Lock()

    def share(self) -> 'Share':
        """Return what one holder of names takes from it."""
        return Share(self)

    def grant(self, count: int) -> None:
        """Hand out bytes; raises InvalidImage when there are not so many left."""
        with self._lock:
            if self._taken + count > self._most:
                raise InvalidImage(f'the names in the layers take more than {self._most} bytes of memory: if that is '
                                   'as it should be, allow more with --max-names')
            self._taken += count

    def give_back(self, count: int) -> None:
        """Take bytes back."""
        with self._lock:
            self._taken -= count


class Share:
    """Counts what one holder of names keeps; it is given back with the holder."""

    def __init__(self, memory: NameMemory) -> None:
        self._memory, self._granted, self._used = memory, 0, 0

    def take(self, count: int) -> None:
        """Take note of bytes that are kept from now on; raises InvalidImage when they are too many."""
        self._used += count
        if self._used > self._granted:
            wanted = max(_PIECE, self._used - self._granted)
            self._memory.grant(wanted)
            self._granted += wanted

    def close(self) -> None:
        """Give everything back."""
        self._memory.give_back(self._granted)
        self._granted = self._used = 0

    def __del__(self) -> None:
        self.close()
