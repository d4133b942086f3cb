"""What interrupted runs have fetched for an archive, in a hidden directory beside it.

An unfinished archive cannot be continued: its places depend on all layers, and a killed run has not recorded how much
of each is complete. So if the source is slow, large blobs are also kept as it sends them while the archive is written;
other layers that are complete in the archive are copied out of it when the run is interrupted. The files are named by
digest, and locked while a run adds to them. Every reader hashes them. What is not used within a week is removed.
"""
import fcntl
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from occystrap_core import Evidence, InvalidImage, OutgoingLayer, WrittenLayer
from occystrap_core.files import (
    CHUNK, LEAST_BESIDE, ByteStream, HeldBytes, KeptBeside, Readable, lock_if_current, remove_if_abandoned, write_all,
    written_through,
)
from occystrap_core.oci import Descriptor, Digest

T = TypeVar('T')

_LONGEST = 7 * 24 * 3600
"""Seconds that a file is kept without being used."""
_NAME_CAP = 200
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK


class _Complete(NamedTuple):
    """A layer that is complete in the unfinished archive, with its digest there; `reread` opens it, None if it is gone.
    """

    digest: Digest
    size: int
    blob: Descriptor | None
    reread: Callable[[], Readable | None]


class KeptBlobs:
    """The kept layers of one archive, for one of its images and several threads. A failure to keep a layer is ignored.
    """

    def __init__(self, path: str) -> None:
        """`path` is that of the archive; empty if no later run could find what is kept, so that nothing is."""
        name = os.fsdecode(os.fsencode(os.path.basename(path))[:_NAME_CAP])
        self.directory = os.path.join(os.path.dirname(path), f'.{name}.kept') if path else ''
        self._begun: set[Digest] = set()
        self._complete: list[_Complete] = []

    def read(self, layer: OutgoingLayer, write: Callable[[ByteStream], T]) -> T:
        """Return the result of `write` for a layer's stream; bytes of its blob that are kept are not read from the
        source.

        A large blob is kept as it arrives. A layer without a blob is read as usual. Raises as the stream and `write`
        do.
        """
        def through(held: KeptBeside | None) -> T:
            with layer.open(held) if held else layer.open() as stream:
                return write(stream)
        blob = layer.source_blob
        held = self._opened_file(blob) if self.directory and blob else None
        if blob is None or held is None:
            return through(None)
        self._begun.add(blob.digest)
        try:
            return written_through(held, lambda: through(held))
        finally:
            with suppress(OSError):
                held.close()

    def adopt(self, digest: Digest | None, blob: Descriptor | None, write: Callable[[ByteStream], str],
              ) -> WrittenLayer | None:
        """Have `write` write a layer that was kept in the archive's form, found by its digest there, and return its
        locator.

        None if there is none, or only a damaged one, which is removed. Raises as `write` does.
        """
        if not self.directory or digest is None or (blob and blob.digest == digest):  # for a blob, `read` uses the file
            return None
        descriptor = None
        with suppress(OSError):
            descriptor = self._locked(_name(digest), 0)
        if descriptor is None:
            return None
        try:
            with ByteStream(HeldBytes(descriptor, sync=False), digest=digest) as stream:
                locator = write(stream)
        except InvalidImage:
            with suppress(OSError):
                os.unlink(f'{self.directory}/{_name(digest)}')
            return None
        self._begun.add(digest)
        return WrittenLayer(locator, digest, stream.size, Evidence.STREAMED, kept=True)

    def note(self, digest: Digest, size: int, blob: Descriptor | None, reread: Callable[[], Readable | None]) -> None:
        """Record a layer that is complete in the archive: `blob` at its source, and `reread`, which opens it here."""
        self._complete.append(_Complete(digest, size, blob, reread))

    def leave(self, keep: bool) -> dict[Digest, int]:
        """After a failure, before the archive is removed, return how many bytes of which layers are kept; none without
        `keep`."""
        if not keep:
            self.finish()
            return {}
        for each in self._complete if self.directory else ():
            if each.size >= CHUNK and not (each.blob and self._size(each.blob.digest) == each.blob.size):
                self._save(each)
        self._tidy()
        sizes = {digest: self._size(digest) for digest in self._begun}
        return {digest: size for digest, size in sizes.items() if size >= CHUNK}

    def finish(self) -> None:
        """Remove what this image used or began, and what no run has used within a week."""
        for digest in self._begun:
            with suppress(OSError):
                os.unlink(f'{self.directory}/{_name(digest)}')
        self._tidy()

    def _save(self, layer: _Complete) -> None:
        """Copy a layer out of the unfinished archive."""
        with suppress(OSError, InvalidImage):
            source = layer.reread()
            descriptor = self._locked(_name(layer.digest), os.O_CREAT) if source else None
            if source is None or descriptor is None:
                return
            self._begun.add(layer.digest)
            try:
                os.ftruncate(descriptor, 0)
                _copy(source, descriptor)
            except (OSError, InvalidImage):
                os.ftruncate(descriptor, 0)  # an empty file is removed later
            finally:
                os.close(descriptor)
                source.close()

    def _size(self, digest: Digest) -> int:
        with suppress(OSError):
            return os.lstat(f'{self.directory}/{_name(digest)}').st_size
        return 0

    def _opened_file(self, blob: Descriptor) -> KeptBeside | None:
        """Return the file with the beginning of a blob, locked; a new one for a large blob of which nothing is kept.

        None if another run or thread is adding to it, or something else has its name.
        """
        with suppress(OSError):
            descriptor = self._locked(_name(blob.digest), os.O_CREAT if blob.size >= LEAST_BESIDE else 0)
            return None if descriptor is None else KeptBeside(descriptor, blob.size)
        return None

    def _locked(self, name: str, create: int) -> int | None:
        """Return the descriptor of a file that belongs to this user alone; raises OSError if it is locked or not such a
        file.

        `create` is O_CREAT if it may be new, else 0.
        """
        with suppress(FileExistsError):
            if create:
                os.mkdir(self.directory, 0o700)
        directory = self._opened()
        try:
            descriptor = _open_file(directory, name, create)
        finally:
            os.close(directory)
        path = f'{self.directory}/{name}'
        locked = lock_if_current(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, partial(os.lstat, path))
        if locked is not None and not _is_ours(os.fstat(locked)):
            os.close(locked)
            return None
        return locked

    def _opened(self) -> int:
        """Return the descriptor of the directory; raises OSError if it is another user's, or a link."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if os.fstat(directory).st_uid != os.geteuid():
            os.close(directory)
            raise PermissionError(f'{self.directory} belongs to another user')
        return directory

    def _tidy(self) -> None:
        """Remove what no run has used within a week, and the directory if it is empty."""
        if not self.directory:
            return
        with suppress(OSError):
            directory = self._opened()
            try:
                for name in os.listdir(directory):
                    with suppress(OSError):
                        _remove_if_old(directory, name)
            finally:
                os.close(directory)
            os.rmdir(self.directory)


def _name(digest: Digest) -> str:
    return f'{digest.algorithm}-{digest.hex}'


def _is_ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()


def _copy(source: Readable, descriptor: int) -> None:
    """Write all of a source to a file; raises OSError, InvalidImage."""
    buffer = memoryview(bytearray(CHUNK))
    while count := source.readinto(buffer):
        write_all(descriptor, buffer[:count])


def _open_file(directory: int, name: str, create: int) -> int:
    """Return the descriptor of a regular file, created if `create` is O_CREAT and there is none; raises OSError."""
    try:
        if not create:
            raise FileExistsError
        return os.open(name, _OPEN | create | os.O_EXCL, 0o600, dir_fd=directory)
    except FileExistsError:
        if not _is_ours(os.lstat(name, dir_fd=directory)):  # opening a device may have effects
            raise
        return os.open(name, _OPEN, dir_fd=directory)


def _remove_if_old(directory: int, name: str) -> None:
    found = os.lstat(name, dir_fd=directory)
    is_kept = found.st_size >= CHUNK and abs(time.time() - found.st_mtime) < _LONGEST
    if stat.S_ISREG(found.st_mode) and not is_kept:
        status = partial(os.lstat, name, dir_fd=directory)
        remove_if_abandoned(os.open(name, _OPEN, dir_fd=directory), status,
                            partial(os.unlink, name, dir_fd=directory))
