"""Files that filters left out, kept aside in case hard links that stay need their content."""
import tempfile
from array import array
from collections.abc import Iterator
from typing import BinaryIO

from occystrap_core.errors import OutputError
from occystrap_core.files.stream import CHUNK
from occystrap_core.name_memory import Share
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, HARD_LINK, SYMLINK
from occystrap_core.tar.globs import plain_path
from occystrap_core.tar.path_keys import COST, path_key

_LINKED = (b'0', b'7', b'S', SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FIFO)
"""The types that hard links may lead to: all but directories."""
_FIELDS = 3
"""For each file: its offset in the temporary file, the length of its headers, the length of its sparse map and data."""


class LeftOut:
    """The files left out of one layer so far. The first hard link to one becomes the file itself; later ones link to
    that.

    Each name that was left out has the number of a file. The temporary file holds the headers and data of a file; once
    a link has replaced the file, it holds the link's name, as it does for targets that were not left out.
    """

    def __init__(self, directory: str | None, share: Share) -> None:
        """`directory` is for the temporary file, which has no name and is deleted with this object; None: the default
        one."""
        self._directory, self._share = directory, share
        self._file: BinaryIO | None = None
        self._end = 0
        self._numbers: dict[bytes, int] = {}
        self._places = array('Q')
        self._current: int | None = None

    def add(self, entry: TarEntry, sparse: bytes) -> None:
        """Add an entry that is left out; its data follow by `more`.

        Raises OutputError if there is no space, InvalidImage if the names need too much memory.
        """
        key = path_key(plain_path(entry.name))
        self._numbers.pop(key, None)
        self._current = None
        if entry.type == HARD_LINK:
            target = plain_path(entry.linkname)
            known = self._numbers.get(path_key(target))
            self._keep(key, self._add_name(target) if known is None else known)
        elif entry.type in _LINKED:
            headers = entry.raw
            self._keep(key, self._add_place(len(headers)))
            self._current = self._numbers[key]
            self._write(headers)
            self.more(sparse)

    def more(self, data: bytes | memoryview) -> None:
        """Add data of the entry that was left out last; raises OutputError if there is no space."""
        if self._current is not None:
            self._write(data)
            self._places[self._current * _FIELDS + 2] += len(data)

    def passes(self, entry: TarEntry) -> Iterator[memoryview] | None:
        """Return the data that must follow the headers of an entry that stays, if not its own; may change the entry."""
        if not self._numbers:
            return None
        number = self._numbers.get(path_key(plain_path(entry.linkname))) if entry.type == HARD_LINK else None
        self._numbers.pop(path_key(plain_path(entry.name)), None)  # an earlier entry of this name no longer counts
        if number is None:
            return None
        offset, headers, size = self._places[number * _FIELDS:(number + 1) * _FIELDS]
        if not headers:
            entry.set_linkname(self._whole(offset, size))
            return None
        entry.become(TarEntry.parse(self._whole(offset, headers)))
        self._name(number, plain_path(entry.name))
        return self._read(offset + headers, size)

    def _keep(self, key: bytes, number: int) -> None:
        self._share.take(len(key) + COST + 8 * _FIELDS)
        self._numbers[key] = number

    def _add_place(self, headers: int) -> int:
        self._places.extend((self._end, headers, 0))
        return len(self._places) // _FIELDS - 1

    def _add_name(self, name: bytes) -> int:
        number = self._add_place(0)
        self._name(number, name)
        return number

    def _name(self, number: int, name: bytes) -> None:
        """Record the entry that now has a file's content."""
        place = number * _FIELDS
        self._places[place], self._places[place + 1], self._places[place + 2] = self._end, 0, len(name)
        self._write(name)

    def _whole(self, offset: int, size: int) -> bytes:
        return b''.join(map(bytes, self._read(offset, size)))

    def _write(self, piece: bytes | memoryview) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory, prefix='occystrap-')
            self._file.seek(self._end)
            self._end += self._file.write(piece)
        except OSError as error:
            raise OutputError(f'cannot write to {self._directory or tempfile.gettempdir()}: {error.strerror}: free '
                              'space or choose another place with --temp-dir') from None

    def _read(self, offset: int, size: int) -> Iterator[memoryview]:
        assert self._file
        buffer = memoryview(bytearray(min(CHUNK, size)))
        while size:
            self._file.seek(offset)
            count = self._file.readinto(buffer[:size])  # type: ignore[attr-defined]
            yield buffer[:count]
            offset, size = offset + count, size - count

    def close(self) -> None:
        """Free the disk space."""
        self._share.close()
        if self._file is not None:
            self._file.close()
