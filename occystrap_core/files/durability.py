"""Durable writes: errors of the system with advice, names and data flushed to the device."""
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_core.errors import OutputError

WRITEBACK = 8 << 20
"""Writers should call `start_writeback` each time they have written this many bytes."""

_ADVICE = {
    errno.ENOSPC: 'free some space or choose another place',
    errno.EDQUOT: 'free some of the quota or choose another place',
    errno.EFBIG: 'raise the limit on file sizes (ulimit -f)',
    errno.EACCES: 'make it writable or choose another place',
    errno.EPERM: 'make it writable or choose another place',
    errno.ENOTDIR: 'remove it or choose another place',
    errno.EROFS: 'choose a place that is not read-only',
    errno.ENOLCK: 'choose a place on a file system that has locks',
}
_DATABASE_ADVICE = {  # result codes of SQLite, https://www.sqlite.org/rescode.html
    3: _ADVICE[errno.EACCES], 5: 'end the other program that uses it', 8: _ADVICE[errno.EACCES],
    10: 'correct the cause and try again', 13: _ADVICE[errno.ENOSPC], 14: 'choose a place that exists and is writable',
}


@contextmanager
def output_errors(place: str) -> Iterator[None]:
    """Turn an OSError into an OutputError that names `place`, what is wrong, and what to do."""
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename  # for a rename, the new name
        at = f' (at {name})' if name and str(name) != place else ''
        advice = _ADVICE.get(error.errno or 0, 'correct the cause and try again')
        raise OutputError(f'cannot write to {place}: {error.strerror or error}{at}: {advice}') from error


def database_advice(error: object) -> str:
    """Return what to do about an error of SQLite; removing the file is advised only if it is damaged, or not a
    database."""
    return _DATABASE_ADVICE.get(getattr(error, 'sqlite_errorcode', 0) & 0xff, 'remove it or choose another place')


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data` to an open file, in several calls if necessary; raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def sync_directory(path: str) -> None:
    """Flush the names in a directory to the device, so that a rename survives a power failure; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_writeback(descriptor: int, offset: int, count: int) -> None:
    """Start writing `count` bytes of a file to the device, so that the fsync at the end is short.

    Linux does so, without blocking, when advised that the pages are not needed. Raises OSError.
    """
    os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_DONTNEED)
