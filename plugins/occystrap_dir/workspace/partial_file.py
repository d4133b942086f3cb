"""Files in the making, which become visible whole or not at all."""
import os
from contextlib import suppress

from occystrap_core.files import WRITEBACK, output_errors, start_writeback, write_all
from occystrap_dir.workspace.beneath import Beneath


class PartialFile:
    """A file in the making, under a temporary name in the place where it is to appear."""

    def __init__(self, place: Beneath, name: str, sync: bool, mode: int = 0o666) -> None:
        """With `sync` the bytes are on the device before the file gets its final name."""
        self.name, self._place, self._sync = name, place, sync
        self._size = self._flushing = 0
        with output_errors(place.path):
            self._file: int | None = place.create(name, mode)

    def write(self, data: memoryview | bytes) -> None:
        """Append `data`; raises OutputError."""
        assert self._file is not None
        with output_errors(self._place.path):
            write_all(self._file, data)
            self._size += len(data)
            if self._sync and self._size - self._flushing >= WRITEBACK:
                start_writeback(self._file, self._flushing, self._size - self._flushing)
                self._flushing = self._size

    def complete(self) -> None:
        """Flush and close, ready to be moved; raises OutputError."""
        assert self._file is not None
        with output_errors(self._place.path):
            if self._sync:
                os.fsync(self._file)
            descriptor, self._file = self._file, None
            os.close(descriptor)

    def discard(self) -> None:
        """Close and remove the file, if it still has its temporary name."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            with suppress(OSError):  # closed all the same, and what was written is given up
                os.close(descriptor)
        with suppress(OSError):  # what cannot be removed now, the next run will
            self._place.unlink(self.name)
