"""Files and folders in the making, which become visible whole or not at all."""
import errno
import os
from contextlib import suppress

from occystrap_core import WRITEBACK, start_writeback, writing


def make_folder(path: str) -> bool:
    """Make one folder if it is not there; return whether it was made. Raises OSError when something else is there."""
    try:
        os.mkdir(path)
        return True
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, 'something that is not a folder is in the way', path) from None
        return False


class PartialFile:
    """A file in the making, under a temporary name in the file system of its destination."""

    def __init__(self, path: str, place: str, sync: bool) -> None:
        """`place` is for messages; with `sync` the bytes are on the device before the file gets its final name."""
        self.path, self._place, self._sync = path, place, sync
        self._size = self._flushing = 0
        with writing(place):
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, data: memoryview | bytes) -> None:
        """Append `data`; raises OutputError."""
        assert self._file is not None
        with writing(self._place):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest):]
            self._size += len(data)
            if self._sync and self._size - self._flushing >= WRITEBACK:
                start_writeback(self._file, self._flushing, self._size - self._flushing)
                self._flushing = self._size

    def complete(self) -> None:
        """Flush and close, ready to be moved; raises OutputError."""
        assert self._file is not None
        with writing(self._place):
            if self._sync:
                os.fsync(self._file)
            descriptor, self._file = self._file, None
            os.close(descriptor)

    def discard(self) -> None:
        """Close and remove the file, if it still has its temporary name."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(self.path)
