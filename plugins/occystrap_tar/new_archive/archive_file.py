"""The temporary file of an archive, the places of members in it, and removing the files that killed runs left."""
import fcntl
import os
import re
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from occystrap_core.files import (
    CHUNK, WRITEBACK, PartialFile, lock_if_current, remove_if_abandoned, replacement_lock, sync_directory,
)
from occystrap_core.tar import TAR_BLOCK

_RANDOM = re.compile(r'[0-9a-f]{8}\.partial')
_NAME_CAP = 200


class Region:
    """The place of one member: its header at `offset`, then `reserved` bytes for its data; None means no limit."""

    def __init__(self, offset: int, reserved: int | None, header: int = TAR_BLOCK) -> None:
        """`header`: bytes reserved for the header."""
        self.offset, self.reserved, self.header = offset, reserved, header
        self.name = ''
        """Set by the caller after writing; of several members with the same name and content, the first is kept."""
        self.size = self.flushed = 0
        self.spill: BinaryIO | None = None
        self.dropped = False
        """Whether its bytes are another member's: a thread that is late must not write them."""
        self.lock = threading.Lock()

    @property
    def data(self) -> int:
        """The offset of its data."""
        return self.offset + self.header

    @property
    def inside(self) -> int:
        """The number of its bytes in the archive; the others are in the spill file."""
        return self.size if self.reserved is None else min(self.size, self.reserved)

    def restart(self) -> None:
        """Forget what was written, to write it again."""
        self.size = self.flushed = 0
        if self.spill:
            self.spill.close()
            self.spill = None


class ArchiveFile(PartialFile):
    """An archive that is being written in the directory of its final path, locked until it is closed."""

    def __init__(self, path: str, sync: bool) -> None:
        """With `sync` the bytes are on the device before the file gets its final name. Raises OSError."""
        self._path = path
        self._partial, descriptor = _create(path)
        super().__init__(descriptor, sync)

    def copy(self, source: int, start: int, count: int, offset: int) -> None:
        """Copy `count` bytes at `start` of the open file `source` to `offset`, in the kernel. Raises OSError."""
        os.lseek(self.fileno(), offset, os.SEEK_SET)
        while count:
            sent = os.sendfile(self.fileno(), source, start, min(count, WRITEBACK))
            if not sent:
                raise OSError(0, 'a temporary file ended too soon')
            self.written(offset, sent)
            start, offset, count = start + sent, offset + sent, count - sent

    def move_up(self, start: int, count: int, target: int) -> None:
        """Move `count` bytes from `start` to `target`, before it; the two may overlap. Raises OSError."""
        buffer = memoryview(bytearray(CHUNK))
        while count:
            moved = os.preadv(self.fileno(), [buffer[:count]], start)
            if not moved:
                raise OSError(0, 'a temporary file ended too soon')
            self.write_at(buffer[:moved], target)
            self.written(target, moved)
            start, target, count = start + moved, target + moved, count - moved

    def complete(self, size: int, check: Callable[[], object] = list) -> None:
        """Truncate the file to `size` bytes, flush it and rename it to its final path, unless `check` raises.

        `check` looks again at what would be replaced, since another run may have finished meanwhile; where files can
        be locked, no third one does so before the rename. Raises OSError, and what `check` raises.
        """
        os.ftruncate(self.fileno(), size)
        self.flush()
        with replacement_lock(self._path):
            check()
            os.replace(self._partial, self._path)
        if self._sync:
            sync_directory(os.path.dirname(self._path))

    def remove(self) -> None:
        """Remove the file, if it still has its temporary name. Raises OSError; a later run tries again."""
        with suppress(FileNotFoundError):
            os.unlink(self._partial)


def remove_abandoned(path: str) -> None:
    """Remove the temporary files for `path` that are not locked: those of killed runs."""
    directory, prefix = os.path.dirname(path), _prefix(path)
    with suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(prefix) and _RANDOM.fullmatch(name.removeprefix(prefix)):
                _remove_unlocked(os.path.join(directory, name))


def _remove_unlocked(partial: str) -> None:
    with suppress(OSError):  # locked, gone, not ours, or on a file system without locks
        if not stat.S_ISREG(os.lstat(partial).st_mode):  # opening a device may have effects
            return
        descriptor = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        remove_if_abandoned(descriptor, lambda: _status(partial), lambda: os.unlink(partial))


def _create(path: str) -> tuple[str, int]:
    """Return the path and the descriptor of a new file, locked if the file system has locks."""
    while True:
        partial = os.path.join(os.path.dirname(path), f'{_prefix(path)}{os.urandom(4).hex()}.partial')
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        except FileExistsError:
            continue
        locked = lock_if_current(descriptor, fcntl.LOCK_EX, lambda: _status(partial), optional=True)
        if locked is not None:  # else another run removed the file before it was locked
            return partial, locked


def _status(partial: str) -> os.stat_result | None:
    try:
        return os.lstat(partial)
    except FileNotFoundError:
        return None


def _prefix(path: str) -> str:
    """Return the prefix of the names of its temporary files, shortened, since a name may have 255 bytes at most."""
    return f'.{os.fsdecode(os.fsencode(os.path.basename(path))[:_NAME_CAP])}.'
