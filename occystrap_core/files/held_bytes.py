"""The first bytes of a blob, kept by an earlier run: they are read from a file, and only the rest from the source."""
import os
import time
from collections.abc import Callable

from occystrap_core.files.partial_file import PartialFile
from occystrap_core.files.stream import Readable


class HeldBytes(PartialFile):
    """A file with the first bytes of a blob, perhaps none, that its owner has opened for reading and writing and has
    locked.

    Passed to `OutgoingLayer.open`. Every byte of the blob goes through `write`, in order, including those that were
    read here, so that the file then holds the blob, whatever it had before. Kept bytes are not trusted: the stream
    checks the digest of the whole.
    """

    def __init__(self, descriptor: int, sync: bool, measured: bool = False) -> None:
        """`descriptor` and `sync` are as for PartialFile. With `measured`, `waited` grows while the source is read.

        Raises OSError.
        """
        super().__init__(descriptor, sync)
        self.measured, self.waited = measured, 0.0
        """Seconds of waiting for the source's bytes."""
        self.available = os.fstat(descriptor).st_size
        """The number of bytes that are kept."""
        self.reused = 0
        """The number of bytes read here since `begin`; the source supplies those after them."""
        self.begin()

    def begin(self) -> None:
        """Start over at the first byte of the blob; called when a stream is opened."""
        self.reused = self._passed = 0
        self._appends = False

    def forget(self) -> None:
        """Ignore the kept bytes: the next stream reads everything from the source."""
        self.available = 0

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with kept bytes; return their number, 0 after the last. Raises OSError."""
        count = os.preadv(self.fileno(), [buffer[:self.available - self.reused]], self.reused)
        self.reused += count
        return count

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the blob, and write them unless they were read here; raises OSError."""
        known = max(0, min(len(data), self.reused - self._passed))
        self._passed += len(data)
        if known < len(data):
            if not self._appends:
                self._append_at(self.reused)
            super().write(memoryview(data)[known:])

    def _append_at(self, size: int) -> None:
        os.ftruncate(self.fileno(), size)
        os.lseek(self.fileno(), size, os.SEEK_SET)
        self._size = self._flushing = size
        self._appends = True


def with_held(held: HeldBytes | None, size: int, whole: Callable[[], Readable],
              rest: Callable[[int], Readable] | None) -> Readable:
    """Return a blob of `size` bytes: the held ones, then those that `rest` opens at an offset in bytes.

    `whole` opens the whole blob at the source; it is used if nothing usable is held, or the source has no `rest`.
    """
    is_some = held is not None and 0 < held.available <= size and (rest is not None or held.available == size)
    if held is None or not (is_some or held.measured):
        return whole()
    if not is_some:
        held.forget()
    return _Resumed(held, size, lambda offset: rest(offset) if rest and offset else whole())


class _Resumed:
    """Reads the held bytes, then the rest of the source, which is not opened if all bytes are held."""

    def __init__(self, held: HeldBytes, size: int, rest: Callable[[int], Readable]) -> None:
        self._held, self._size, self._open_rest = held, size, rest
        self._rest: Readable | None = None

    def readinto(self, buffer: memoryview, /) -> int | None:
        if self._rest is None:
            if (count := self._held.readinto(buffer)) or self._held.reused == self._size:
                return count
            self._rest = self._open_rest(self._held.reused)
        return self._measured(self._rest, buffer) if self._held.measured else self._rest.readinto(buffer)

    def _measured(self, rest: Readable, buffer: memoryview) -> int | None:
        begun = time.monotonic()
        count = rest.readinto(buffer)
        self._held.waited += time.monotonic() - begun
        return count

    def close(self) -> None:
        if self._rest is not None:
            self._rest.close()
