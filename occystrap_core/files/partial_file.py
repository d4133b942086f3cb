"""Files that are being written under a temporary name, until they are complete and get their final one."""
import os

from occystrap_core.files.durability import WRITEBACK, start_writeback, write_all


class PartialFile:
    """An open file that is being written, from its beginning or at any offset, and flushed when it is complete.

    Its owner gives it a temporary name, renames it after `flush`, and removes it after a failure. `write` may be called
    by one thread at a time, `write_at` and `written` by several.
    """

    def __init__(self, descriptor: int, sync: bool) -> None:
        """`descriptor` is that of a new file, open for writing, which `close` closes.

        With `sync` the system begins early to write the data to the device, and `flush` waits until it has.
        """
        self._descriptor: int | None = descriptor
        self._sync = sync
        self._size = self._flushing = 0

    def fileno(self) -> int:
        """Return the open descriptor; raises ValueError after `close`."""
        if self._descriptor is None:
            raise ValueError('the file is closed')
        return self._descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`; raises OSError."""
        write_all(self.fileno(), data)
        self._size += len(data)
        if self._size - self._flushing >= WRITEBACK:
            self.written(self._flushing, self._size - self._flushing)
            self._flushing = self._size

    def write_at(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, in bytes; raises OSError."""
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self.fileno(), rest, offset)
            rest, offset = rest[count:], offset + count

    def written(self, offset: int, count: int) -> None:
        """With `sync`, start writing `count` bytes at `offset`, which will not change, to the device; raises OSError.

        `write` does so itself; users of `write_at` call this after WRITEBACK bytes or more.
        """
        if self._sync and count:
            start_writeback(self.fileno(), offset, count)

    def flush(self) -> None:
        """With `sync`, wait until all data is on the device; raises OSError."""
        if self._sync:
            os.fsync(self.fileno())

    def close(self) -> None:
        """Close the file, which also unlocks it, unless it is closed; raises OSError."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
