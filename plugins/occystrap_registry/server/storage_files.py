"""The files of a storage: each appears complete, by one rename or link, and is flushed if it must be durable."""
import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occystrap_core.files import sync_directory, write_all

_SMALL = 64 << 10
"""Bytes that are read at once."""
_LARGE = 1 << 20
"""The same for comparing two files."""


class DamagedFile(OSError):
    """A file of the storage does not contain what was written to it; the message says what to do."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EBADMSG, what, str(path))

    def __str__(self) -> str:
        return str(self.strerror)


class StorageFiles:
    """Writes, links and removes below one directory; `durable` ones flush all that they change.

    Methods raise OSError. They may be called by several threads.
    """

    def __init__(self, root: Path, durable: bool) -> None:
        self.root, self.temporary, self.durable = root, root / 'temporary', durable

    def new_name(self) -> Path:
        """Return an unused name for an incomplete file."""
        return self.temporary / uuid.uuid4().hex

    def make_directory(self, directory: Path) -> None:
        """Make a directory, and those above it, unless it exists."""
        if directory.is_dir():
            return
        if directory != self.root:
            self.make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        self.sync_names(directory.parent)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, replacing the one with its name."""
        self.make_directory(path.parent)
        complete = self.write_incomplete(content)
        with _removed_on_failure(complete):
            os.replace(complete, path)
        self.sync_names(path.parent)

    def write_incomplete(self, content: bytes) -> Path:
        """Write a file under a temporary name, and return that name."""
        path = self.new_name()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with _removed_on_failure(path):
            try:
                write_all(descriptor, content)
                if self.durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return path

    def link(self, existing: Path, path: Path) -> bool:
        """Give a file another name, unless that exists; raises FileNotFoundError if the file is gone.

        Returns False if it has as many names as the file system allows, and must be copied.
        """
        try:
            os.link(existing, path)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            return False
        return True

    def copy(self, existing: Path, path: Path) -> None:
        """Write a copy of a file, replacing the one with its name; raises as `open_regular` does."""
        with _removed_on_failure(self.new_name()) as complete:
            with open(open_regular(existing), 'rb') as source, open(complete, 'xb') as target:
                shutil.copyfileobj(source, target, _LARGE)
            self.sync_content(complete)
            os.replace(complete, path)

    def mend(self, path: Path, content: Path) -> None:
        """Repair a file that should equal another one and has its size, by writing the bytes that differ.

        They are written in place, so that the file is repaired under all its names. A file of another size is left as
        it is.
        """
        with suppress(FileNotFoundError), open(open_regular(path), 'rb') as existing, open(content, 'rb') as right:
            if os.fstat(existing.fileno()).st_size != os.fstat(right.fileno()).st_size:
                return
            position, is_damaged = 0, False
            while piece := right.read(_LARGE):
                if existing.read(_LARGE) != piece:
                    is_damaged = True
                    _write_at(path, piece, position)
                position += len(piece)
            if is_damaged:
                self.sync_content(path)

    def sync_content(self, path: Path) -> None:
        """Flush the content of a file."""
        if self.durable:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def sync_names(self, directory: Path) -> None:
        """Flush the names in a directory."""
        if self.durable:
            sync_directory(str(directory))

    def remove(self, path: Path) -> None:
        """Remove a file; raises FileNotFoundError."""
        path.unlink()
        self.sync_names(path.parent)

    def clear_temporary(self) -> None:
        """Remove the leftovers of a killed process."""
        for entry in os.scandir(self.temporary):
            with suppress(FileNotFoundError):
                os.unlink(entry.path)

    def lock(self) -> int | None:
        """Lock the directory for this process; return an open descriptor, None if another process has locked it.

        The lock ends when the descriptor is closed, at the latest with the process.
        """
        descriptor = os.open(self.root / 'lock', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[Path]:
    """Pass an incomplete file to the with block, and remove it if that raises."""
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_at(path: Path, data: bytes, position: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        view = memoryview(data)
        while view:
            count = os.pwrite(descriptor, view, position)
            view, position = view[count:], position + count
    finally:
        os.close(descriptor)


def read_file(path: Path, cap: int | None = None) -> bytes:
    """Return the bytes of a regular file, at most `cap`, in half the time that Path.read_bytes takes.

    Raises as `open_regular` does.
    """
    pieces, left = [], float('inf') if cap is None else cap
    descriptor = open_regular(path)
    try:
        while left > 0 and (piece := os.read(descriptor, int(min(_SMALL, left)))):
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(descriptor)
    return b''.join(pieces)


def kept_alive(path: Path) -> int:
    """Return a descriptor of a file of any type, which keeps its content until closed, even if its last name is
    removed.

    Freeing the space of a large file takes long. Raises FileNotFoundError, OSError.
    """
    return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_regular(path: Path) -> int:
    """Return the descriptor of a regular file, open for reading, without blocking.

    Raises DamagedFile for a link, a pipe or the like, which the server never creates, and OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise DamagedFile(path, f'{path.name} is not a regular file: remove it') from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFile(path, f'{path.name} is not a regular file: remove it')
    return descriptor
