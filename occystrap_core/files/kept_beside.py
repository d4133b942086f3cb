"""The beginning of a blob, kept while something else is made from it, so that the next run need not wait for it again.
"""
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from occystrap_core.errors import InvalidImage
from occystrap_core.files.durability import WRITEBACK
from occystrap_core.files.held_bytes import HeldBytes

T = TypeVar('T')

LEAST_BESIDE = WRITEBACK
"""Blobs of at least this many bytes are kept in this way, since keeping one costs as much work as the output."""
_ROOM = 8
"""Free space on the disk must be this many times the size of the blob, so that keeping it never fills the disk."""
_WAITING = 0.5
"""If a smaller share of the time is spent waiting for the source, keeping the blob is not worth the work."""


class KeptBeside(HeldBytes):
    """Keeps the beginning of a blob while something else is made from it and written. A failure here does not fail
    that.

    The next run must make the output anew and is only spared waiting for the source. So nothing is kept if the source
    is about as fast as the work, or the disk has little room. It may be closed while another thread still reads.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        """`descriptor` is as for HeldBytes, `size` that of the blob in bytes. Raises OSError."""
        super().__init__(descriptor, sync=False)
        self.measured, self._blob = True, size
        self._given_up, self._looked, self._since = False, 0, 0.0
        self._lock = threading.Lock()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with kept bytes, and return their number; raises OSError, and ValueError after `close`."""
        with self._lock:
            return super().readinto(buffer)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the blob."""
        with self._lock:
            try:
                if not self._given_up:
                    super().write(data)
                    self._look()
            except OSError:
                self._give_up()

    def close(self) -> None:
        """Close the file; what is read afterwards is not kept. Raises OSError."""
        with self._lock:
            self._given_up = True
            super().close()

    def _append_at(self, size: int) -> None:
        super()._append_at(size)
        self._looked, self._since, self.waited = size, time.monotonic(), 0.0
        room = os.fstatvfs(self.fileno())
        if room.f_bavail * room.f_frsize < _ROOM * self._blob:
            self._give_up()

    def _look(self) -> None:
        """Give up keeping unless most of the time is spent waiting for the source."""
        if self._size - self._looked >= LEAST_BESIDE:
            self._looked = self._size
            if self.waited < _WAITING * (time.monotonic() - self._since):
                self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        with suppress(OSError):
            os.ftruncate(self.fileno(), 0)


def written_through(held: HeldBytes | None, write: Callable[[], T]) -> T:
    """Return what `write` returns, which reads a blob through a file; try once more if the kept bytes were damaged."""
    try:
        return write()
    except InvalidImage:
        if not held or not held.reused:
            raise
        held.forget()
        return write()
