"""Blobs that an interrupted run leaves to the next one: hidden files, named by their digests.

Each holds the first bytes of a blob, perhaps all of them, and is locked while a run adds to it. It is as little trusted
as a download: whoever goes on with it hashes all of it. What is not used within a week is removed.
"""
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from occystrap_core import InvalidImage, OutgoingLayer, OutputError
from occystrap_core.files import CHUNK, WRITEBACK, HeldBytes, is_current, output_errors, remove_if_abandoned
from occystrap_core.oci import Digest
from occystrap_dir.workspace import locks
from occystrap_dir.workspace.beneath import Beneath

T = TypeVar('T')

LEAST = CHUNK
"""Bytes from which on a blob is kept: what one read brings is sooner read again."""
LEAST_BESIDE = WRITEBACK
"""The same for one that is kept besides what is made of it, which costs twice the work."""
_ROOM = 8
"""How many times as large as the blob the room must be for that: a full disk must not be this file's fault."""
_WAITING = 0.5
"""The share of the time that goes to waiting for the source, from which on it is worth to spare the next run that."""
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
        """Flush the file, which may then be renamed; it stays locked. Raises OutputError."""
        with output_errors(self._place.path):
            self.flush()

    def end(self, keep: bool) -> None:
        """Close the file; remove it, unless it was renamed, or is to be kept and large enough."""
        descriptor = self.fileno()
        with suppress(OSError):  # what cannot be removed now is removed when it is a week old
            if not keep or os.fstat(descriptor).st_size < LEAST:
                if is_current(descriptor, lambda: self._place.status(self.name)):
                    self._place.unlink(self.name)
        with suppress(OSError):  # it is closed in any case
            self.close()


class KeptBeside(KeptFile):
    """The beginning of a blob of which something else is made and written. What fails here is no failure of that.

    The next run must make that anew, so that all it is spared is waiting for the source. Where a source is about as
    fast as the work, or the disk has little room, nothing is kept. It may be ended while another thread still reads.
    """

    def __init__(self, place: Beneath, name: str, descriptor: int, size: int) -> None:
        """`size` is that of the blob, in bytes."""
        super().__init__(place, name, descriptor, sync=False)
        self.measured, self._blob = True, size
        self._given_up, self._looked, self._since = False, 0, 0.0
        self._lock = threading.Lock()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with kept bytes, and return their number; raises ValueError after `end`."""
        with self._lock:
            return super().readinto(buffer)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the blob."""
        with self._lock:
            try:
                if not self._given_up:
                    super().write(data)
                    self._look()
            except OutputError:
                self._give_up()

    def end(self, keep: bool) -> None:
        """Close the file, and keep or remove it."""
        with self._lock:
            self._given_up = True
            super().end(keep)

    def _append_at(self, size: int) -> None:
        super()._append_at(size)
        self._looked, self._since, self.waited = size, time.monotonic(), 0.0
        room = os.fstatvfs(self.fileno())
        if room.f_bavail * room.f_frsize < _ROOM * self._blob:
            self._give_up()

    def _look(self) -> None:
        """Give up unless much of the time goes to waiting for the source."""
        if self._size - self._looked >= LEAST_BESIDE:
            self._looked = self._size
            if self.waited < _WAITING * (time.monotonic() - self._since):
                self._give_up()

    def _give_up(self) -> None:
        self._given_up = True
        with suppress(OSError):
            os.ftruncate(self.fileno(), 0)


class KeptBlobs:
    """The kept blobs of one destination, as one run uses them."""

    def __init__(self, place: Beneath, directory: str, sync: bool, final: Callable[[Digest], str]) -> None:
        """`directory` is below `place`; `final` returns the name of a blob that is complete."""
        self._place, self._directory, self._sync, self._final = place, directory, sync, final
        self._begun: set[Digest] = set()
        self.needless: set[Digest] = set()
        """Blobs of which everything is made that can be needed."""

    def open(self, digest: Digest, beside: int | None = None) -> KeptFile | None:
        """Return the file with the beginning of a blob, locked; it is new if nothing is kept.

        `beside` is the size in bytes of a blob that is kept besides what is made of it. None if another run is adding
        to the file, and if something else has its name, or it is not ours alone: then the blob is written as if nothing
        could be kept.
        """
        name = self._name(digest)
        try:
            with suppress(FileNotFoundError):
                return self._locked(name, digest, beside)
            self._place.make(self._directory)
            return self._locked(name, digest, beside)
        except OSError:
            return None

    def _locked(self, name: str, digest: Digest, beside: int | None) -> KeptFile | None:
        descriptor = locks.take(self._place, name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_nlink != 1 or found.st_uid != os.geteuid():
            os.close(descriptor)
            return None
        self._begun.add(digest)
        if beside is not None:
            return KeptBeside(self._place, name, descriptor, beside)
        return KeptFile(self._place, name, descriptor, self._sync)

    def drop(self) -> None:
        """Remove what this run began; raises OSError."""
        for digest in self._begun:
            self._place.unlink(self._name(digest))

    def keep(self, digest: Digest) -> None:
        """Keep a complete blob that has its final name, and that no image needs now; raises OSError."""
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
        """Remove what is a week old, or has become complete otherwise, and the directory if it is empty.

        Only if no other run is at work. Raises OSError.
        """
        if not self._place.is_directory(self._directory):
            return
        for name in self._place.names(self._directory):
            path = f'{self._directory}/{name}'
            if _NAME.fullmatch(name) and (found := self._place.status(path)) and stat.S_ISREG(found.st_mode):
                if self._is_useless(name, found):
                    remove_if_abandoned(self._place.open(path), partial(self._place.status, path),
                                        partial(self._place.unlink, path))
        self._place.remove_empty(self._directory)

    def _is_useless(self, name: str, found: os.stat_result) -> bool:
        digest = Digest(name.replace('-', ':'))
        is_old = not -_LONGEST < time.time() - found.st_mtime < _LONGEST
        is_old = is_old or digest in self.needless
        return is_old or found.st_size < LEAST or self._place.status(self._final(digest)) is not None

    def _name(self, digest: Digest) -> str:
        return f'{self._directory}/{digest.algorithm}-{digest.hex}'

    def _size(self, name: str) -> int:
        try:
            return self._place.size(name)
        except OSError:  # nothing, or something else
            return 0


def fill(held: HeldBytes, layer: OutgoingLayer) -> None:
    """Read a blob, so that the file holds all of it; raises as the layer's stream."""
    with layer.open(held) as stream:
        stream.drain()


def written_through(held: HeldBytes | None, write: Callable[[], T]) -> T:
    """Return what `write` returns, which reads a blob through a file; once more if what was kept there was damaged."""
    try:
        return write()
    except InvalidImage:
        if not held or not held.reused:
            raise
        held.forget()
        return write()
