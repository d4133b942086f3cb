"""Blobs that an interrupted run leaves for the next one: hidden files, named by digest.

Each contains the first bytes of a blob, perhaps all of them, and is locked while a run adds to it. It is trusted no
more than a download: the run that continues it hashes all of it. What is not used within a week is removed.
"""
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from occystrap_core import OutgoingLayer, ServiceError
from occystrap_core.files import CHUNK, HeldBytes, KeptBeside, is_current, output_errors, remove_if_abandoned
from occystrap_core.oci import Descriptor, Digest
from occystrap_dir.workspace import locks
from occystrap_dir.workspace.beneath import Beneath

H = TypeVar('H', bound=HeldBytes)
LEAST = CHUNK
"""Smaller parts of blobs are not kept, since reading them again is quicker."""
_LONGEST = 7 * 24 * 3600
"""Seconds that a file is kept without being used."""
_NAME = re.compile(r'sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128}')


class KeptFile(HeldBytes):
    """The beginning of one blob, locked; its errors are OutputErrors."""

    def __init__(self, place: Beneath, name: str, descriptor: int, sync: bool) -> None:
        super().__init__(descriptor, sync)
        self.name, self._place = name, place

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the blob; raises OutputError."""
        with output_errors(self._place.path):
            super().write(data)

    def complete(self) -> None:
        """Flush the file, which may then be renamed; it stays locked. Raises OutputError.

        Errors that a file system reports on closing are raised by closing another descriptor of the file.
        """
        with output_errors(self._place.path):
            self.flush()
            os.close(os.dup(self.fileno()))


class KeptBlobs:
    """The kept blobs of one destination, as one run uses them."""

    def __init__(self, place: Beneath, directory: str, sync: bool, final: Callable[[Digest], str]) -> None:
        """`directory` is below `place`; `final` returns the name of a blob that is complete."""
        self._place, self._directory, self._sync, self._final = place, directory, sync, final
        self._begun, self._dropped = set[Digest](), False
        self.needless: set[Digest] = set()
        """Blobs that are not needed any more, since everything was made from them."""

    def open(self, digest: Digest) -> KeptFile | None:
        """Return the file with the beginning of a blob, locked; a new one if nothing is kept.

        None if another run is adding to it, if something else has its name, or if other users have access: then the
        blob is written as if nothing could be kept.
        """
        descriptor = self._opened(digest)
        return None if descriptor is None else KeptFile(self._place, self._name(digest), descriptor, self._sync)

    def open_beside(self, blob: Descriptor) -> KeptBeside | None:
        """Return the same for a blob that is kept in addition to what is made from it."""
        descriptor = self._opened(blob.digest)
        return None if descriptor is None else KeptBeside(descriptor, blob.size)

    @contextmanager
    def held(self, digest: Digest, file: H | None) -> Iterator[H | None]:
        """Yield a file that was opened here, and close it.

        It is kept if the block is interrupted or a service fails; otherwise it is removed, unless it was moved.
        """
        keep = False
        try:
            yield file
        except BaseException as error:
            keep = isinstance(error, ServiceError) or not isinstance(error, Exception)
            raise
        finally:
            if file:
                self._end(digest, file, keep)

    def _end(self, digest: Digest, file: HeldBytes, keep: bool) -> None:
        """Close a file; remove it, unless it was renamed, or is to be kept and large enough."""
        descriptor, name = file.fileno(), self._name(digest)
        with suppress(OSError):  # what cannot be removed now is removed after a week
            if self._dropped or not keep or os.fstat(descriptor).st_size < LEAST:
                if is_current(descriptor, lambda: self._place.status(name)):
                    self._place.unlink(name)
        with suppress(OSError):  # it is closed in any case
            file.close()

    def _opened(self, digest: Digest) -> int | None:
        name = self._name(digest)
        try:
            with suppress(FileNotFoundError):
                return self._locked(name, digest)
            self._place.make(self._directory)
            return self._locked(name, digest)
        except OSError:
            return None

    def _locked(self, name: str, digest: Digest) -> int | None:
        descriptor = locks.take(self._place, name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_nlink != 1 or found.st_uid != os.geteuid():
            os.close(descriptor)
            return None
        self._begun.add(digest)
        return descriptor

    def drop(self) -> None:
        """Remove files that this run began, including those still being written; raises OSError.

        Files that another image or run has taken over are left.
        """
        self._dropped = True
        for digest in self._begun:
            with suppress(FileNotFoundError):
                self._remove(self._name(digest))

    def keep(self, digest: Digest) -> None:
        """Keep a complete blob that has its final name and that no image uses now; raises OSError."""
        self._place.make(self._directory)
        with suppress(FileNotFoundError):
            self._place.rename(self._final(digest), self._name(digest))

    def size(self, digest: Digest) -> int:
        """Return the bytes that are kept of a blob, 0 if there are none."""
        return self._size(self._name(digest))

    def sizes(self, finished: Iterable[Digest]) -> dict[Digest, int]:
        """Return the bytes that are kept of the blobs that this run began or `finished`."""
        sizes = {digest: self._size(self._name(digest)) or self._size(self._final(digest)) for digest in finished}
        sizes |= {digest: size for digest in self._begun if (size := self._size(self._name(digest))) >= LEAST}
        return {digest: size for digest, size in sizes.items() if size}

    def tidy(self) -> None:
        """Remove what is a week old, or was completed in another way, and the directory if it is empty.

        Only if no other run is active. Raises OSError.
        """
        if not self._place.is_directory(self._directory):
            return
        for name in self._place.names(self._directory):
            path = f'{self._directory}/{name}'
            if _NAME.fullmatch(name) and (found := self._place.status(path)) and stat.S_ISREG(found.st_mode):
                if self._is_useless(name, found):
                    self._remove(path)
        self._place.remove_empty(self._directory)

    def _is_useless(self, name: str, found: os.stat_result) -> bool:
        digest = Digest(name.replace('-', ':'))
        is_old = not -_LONGEST < time.time() - found.st_mtime < _LONGEST
        is_old = is_old or digest in self.needless
        return is_old or found.st_size < LEAST or self._place.status(self._final(digest)) is not None

    def _remove(self, path: str) -> None:
        remove_if_abandoned(self._place.open(path), partial(self._place.status, path),
                            partial(self._place.unlink, path))

    def _name(self, digest: Digest) -> str:
        return f'{self._directory}/{digest.algorithm}-{digest.hex}'

    def _size(self, name: str) -> int:
        try:
            return self._place.size(name)
        except OSError:  # missing, or something else
            return 0


def fill(held: HeldBytes, layer: OutgoingLayer) -> None:
    """Read a blob, so that the file holds all of it; raises as the layer's stream."""
    with layer.open(held) as stream:
        stream.drain()
