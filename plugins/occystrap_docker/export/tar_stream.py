"""Reading a tar from a stream: file by file, in the order of arrival, without storing it."""
import os
from collections.abc import Iterator

from occystrap_core import InvalidImage, ServiceUnavailable
from occystrap_core.files import MAGIC_SIZE, ChunkedSource
from occystrap_core.tar import FILE, TarReader

_FILES = (FILE, b'7', b'S')


class StreamedFile(ChunkedSource):
    """One regular file of the stream, to be read before the next; unread bytes are skipped."""

    def __init__(self, name: str, reader: TarReader, size: int) -> None:
        """`size` in bytes."""
        super().__init__()
        self.name, self._reader = name, reader
        self._holes = reader.sparse()
        self.size = self._holes.size if self._holes else size

    def peek(self) -> bytes:
        """Return up to MAGIC_SIZE bytes from the beginning; call it before `chunks`."""
        return b'' if self._holes else self._reader.peek(MAGIC_SIZE)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the file's bytes as they arrive."""
        data = self._reader.data()
        return self._holes.whole(data) if self._holes else data


class TarStream:
    """The files of a tar in a stream."""

    def __init__(self, source: ChunkedSource, what: str) -> None:
        """`what` names the archive in errors."""
        self._source, self._what = source, what
        self._reader = TarReader(self._pieces())
        self._files = self._all_files()

    def files(self) -> Iterator[StreamedFile]:
        """Return the one iterator over the regular files, which goes on where an earlier caller stopped.

        Raises InvalidImage when the stream is not a tar, ServiceUnavailable when it is cut.
        """
        return self._files

    def _all_files(self) -> Iterator[StreamedFile]:
        try:
            for entry in self._reader.entries():
                if entry.type in _FILES:
                    yield StreamedFile(os.fsdecode(entry.name), self._reader, entry.size)
        except InvalidImage as error:
            raise error.renamed(f'{self._what} is a broken tar: {error}') from None

    def _pieces(self) -> Iterator[memoryview]:
        """Yield the stream; raises ServiceUnavailable if it ends before the archive does."""
        yield from self._source.chunks()
        if not self._reader.ended:
            raise ServiceUnavailable(f'{self._what} ends in the middle: see the log of the daemon, then try again')
