"""Unnamed temporary files, deleted at the latest with the process; their errors say what to do."""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO, Self, cast

from occystrap_core.errors import OutputError


class TemporaryFile:
    """A file in the directory for temporary files; its errors are OutputErrors."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        with self._explained():
            import tempfile  # late: the import takes milliseconds that most copies do not need
            self.file = cast(BinaryIO, tempfile.TemporaryFile(dir=directory, prefix='occystrap-', buffering=0))

    @classmethod
    def holding(cls, chunks: Iterable[bytes | memoryview], directory: str) -> Self:
        """Return a file with all chunks; raises OutputError, and the exceptions of `chunks`."""
        file = cls(directory)
        try:
            for chunk in chunks:
                file.write(chunk)
        except BaseException:
            file.close()
            raise
        return file

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`; return its length in bytes. Raises OutputError."""
        with self._explained():
            rest = memoryview(data)
            while rest:
                rest = rest[self.file.write(rest):]
        return len(data)

    def reopened(self) -> FileIO:
        """Return the file opened once more, at its first byte; raises OSError."""
        return FileIO(f'/proc/self/fd/{self.file.fileno()}')

    def close(self) -> None:
        """Free the disk space."""
        with suppress(OSError):
            self.file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f'cannot spool a layer in {self._directory}: {error.strerror}; choose another directory '
                              'with --temp-dir') from None
