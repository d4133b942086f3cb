"""Compressed archives and pipes, which are copied once into the temporary directory to be read."""
import os
import stat
import tempfile
import threading
from contextlib import ExitStack
from typing import IO

from occystrap_core import ImageNotFound, OutputError, Settings
from occystrap_core.files import CHUNK, MAGIC_SIZE, Readable, detect_compression, inflate
from occystrap_core.oci import Compression


class WaitingCopies(threading.Semaphore):
    """Limits how many copies a run keeps in the temporary directory for images that wait to be copied."""

    def __init__(self) -> None:
        super().__init__(2)


class ReadableArchive:
    """A path at which an archive can be read as a plain tar: its own, or that of an unnamed copy."""

    def __init__(self, path: str, settings: Settings) -> None:
        """Raises ImageNotFound, InvalidImage, OutputError."""
        self._copy: IO[bytes] | None = None
        self._waiting: WaitingCopies | None = None
        self._copies = settings.shared.get(WaitingCopies, WaitingCopies)
        self.path, self.once = path, False
        try:
            source = open(path, 'rb', buffering=0)
        except IsADirectoryError:
            raise ImageNotFound(f'{path} is a directory: write dir://{path} or layout://{path}') from None
        except OSError as error:
            raise ImageNotFound(f'cannot read {path}: {error.strerror}') from None
        with source:
            kind = os.fstat(source.fileno()).st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISFIFO(kind):
                raise ImageNotFound(f'cannot read {path}: it is neither a file nor a pipe')
            self.once = stat.S_ISFIFO(kind)
            if self.once or detect_compression(os.pread(source.fileno(), MAGIC_SIZE, 0)) is not Compression.NONE:
                self._copy = _copied(source, path, settings)
                self.path = f'/proc/self/fd/{self._copy.fileno()}'

    def may_wait(self) -> bool:
        """Return whether the copy may stay open until its image is copied; else it is closed, and made again later.

        A list of a thousand compressed archives must neither fill the disk nor use up descriptors.
        """
        if self._copy and not self.once and not self._waiting and self._copies.acquire(blocking=False):
            self._waiting = self._copies
        return not self._copy or self.once or self._waiting is not None

    def close(self) -> None:
        """Free the disk space of the copy."""
        if self._copy:
            self._copy.close()
        if self._waiting:
            self._waiting.release()
            self._waiting = None


def _copied(source: Readable, path: str, settings: Settings) -> IO[bytes]:
    """Return an unnamed temporary file with the uncompressed bytes of `source`."""
    tar = inflate(source, path)
    try:
        with ExitStack() as if_failed:
            copy = if_failed.enter_context(tempfile.TemporaryFile(dir=settings.temporary, prefix='occystrap-'))
            buffer = memoryview(bytearray(CHUNK))
            while count := tar.readinto(buffer):
                settings.cancellation.check()
                copy.write(buffer[:count])
            copy.flush()
            if_failed.pop_all()
            return copy
    except OSError as error:
        raise OutputError(f'cannot unpack {path} into {settings.temporary}: {error.strerror}; choose a larger '
                          'directory with --temp-dir') from None
