"""Files that become visible whole or not at all, and the system's errors said in one line."""
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from occystrap_core import OutputError

_WRITEBACK = 8 << 20
_ADVICE = {
    errno.ENOSPC: 'free some space or name another place',
    errno.EDQUOT: 'free some of the quota or name another place',
    errno.EFBIG: 'raise the limit on file sizes (ulimit -f)',
    errno.EACCES: 'make it writable or name another place',
    errno.EPERM: 'make it writable or name another place',
    errno.EROFS: 'name a place that is not read-only',
    errno.ENOLCK: 'name a place on a file system that has locks',
}


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turn an OSError into an OutputError that names `place`, what is wrong, and what to do about it."""
    try:
        yield
    except OSError as error:
        at = f' (at {error.filename})' if error.filename and str(error.filename) != place else ''
        advice = _ADVICE.get(error.errno or 0, 'look into it and try again')
        raise OutputError(f'cannot write to {place}: {error.strerror or error}{at}: {advice}') from error


def make_folder(path: str) -> bool:
    """Make one folder if it is not there; return whether it was made. Raises OSError when something else is there."""
    try:
        os.mkdir(path)
        return True
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, 'something that is not a folder is in the way', path) from None
        return False


def sync_folder(path: str) -> None:
    """Flush the names in a folder to the device, so that a rename survives a power cut; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
            if self._sync and self._size - self._flushing >= _WRITEBACK:
                self._start_writeback()

    def _start_writeback(self) -> None:
        # Linux begins to write dirty pages back on this advice, without waiting; the fsync at the end finds them done.
        assert self._file is not None
        os.posix_fadvise(self._file, self._flushing, self._size - self._flushing, os.POSIX_FADV_DONTNEED)
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
