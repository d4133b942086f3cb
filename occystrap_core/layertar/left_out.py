"""Files that filters left out, kept aside in case that hard links which stay want their content."""
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from occystrap_core.errors import OutputError
from occystrap_core.image.stream import CHUNK
from occystrap_core.layertar.entry import HARD_LINK, TarEntry
from occystrap_core.layertar.globs import plain_path

_REGULAR = (b'0', b'7', b'S')


@dataclass
class _Aside:
    """Where a file lies in the temporary one: its headers, then `size` bytes of its sparse map and data."""

    offset: int
    headers: int
    size: int = 0


class LeftOut:
    """What was left out of one layer so far. A hard link to it becomes the file itself; later ones link to that."""

    def __init__(self, folder: str | None) -> None:
        """`folder` is for the temporary file, which has no name and ends with this object; None: the usual one."""
        self._folder = folder
        self._file: BinaryIO | None = None
        self._end = 0
        self._aside: dict[bytes, _Aside] = {}
        self._current: _Aside | None = None
        self._elsewhere: dict[bytes, bytes] = {}
        """Names that are gone, and what stands for each: the target of a link, or the link that became the file."""

    def add(self, entry: TarEntry, sparse: bytes) -> None:
        """Take an entry that is left out; its data comes by `more`. Raises OutputError without room for it."""
        name = plain_path(entry.name)
        self._forget(name)
        self._current = None
        if entry.type == HARD_LINK:
            self._elsewhere[name] = plain_path(entry.linkname)
        if entry.type in _REGULAR:
            headers = entry.raw
            self._aside[name] = self._current = _Aside(self._end, len(headers))
            self._write(headers)
            self.more(sparse)

    def more(self, data: bytes | memoryview) -> None:
        """Take a piece of the data of what was left out last; raises OutputError without room for it."""
        if self._current is not None:
            self._write(data)
            self._current.size += len(data)

    def passes(self, entry: TarEntry) -> Iterator[memoryview] | None:
        """Return what must follow the headers of an entry that stays, other than its own data; may change the entry."""
        if not self._aside and not self._elsewhere:
            return None
        name = plain_path(entry.name)
        if entry.type != HARD_LINK:
            self._forget(name)
            return None
        target = self._resolved(plain_path(entry.linkname))
        self._forget(name)
        aside = self._aside.pop(target, None)
        if aside is None:
            if target != plain_path(entry.linkname):
                entry.set_linkname(target)
            return None
        self._elsewhere[target] = name
        entry.become(TarEntry.parse(b''.join(map(bytes, self._read(aside.offset, aside.headers)))))
        return self._read(aside.offset + aside.headers, aside.size)

    def _resolved(self, name: bytes) -> bytes:
        seen = {name}
        while (following := self._elsewhere.get(name)) is not None and following not in seen:
            seen.add(following)
            name = following
        return name

    def _forget(self, name: bytes) -> None:
        """An entry of the name comes anew: what it was before counts no more."""
        self._aside.pop(name, None)
        self._elsewhere.pop(name, None)

    def _write(self, piece: bytes | memoryview) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, prefix='occystrap-')
            self._file.seek(self._end)
            self._end += self._file.write(piece)
        except OSError as error:
            raise OutputError(f'cannot write to {self._folder or tempfile.gettempdir()}: {error.strerror}: free some '
                              'space or name another place with --temp-dir') from None

    def _read(self, offset: int, size: int) -> Iterator[memoryview]:
        assert self._file
        buffer = memoryview(bytearray(min(CHUNK, size)))
        while size:
            self._file.seek(offset)
            count = self._file.readinto(buffer[:size])  # type: ignore[attr-defined]
            yield buffer[:count]
            offset, size = offset + count, size - count

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()
