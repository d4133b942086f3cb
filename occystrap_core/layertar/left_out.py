"""Files that filters left out, kept aside in case that hard links which stay want their content."""
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from occystrap_core.errors import OutputError
from occystrap_core.image.stream import CHUNK
from occystrap_core.layertar.entry import HARD_LINK, TarEntry
from occystrap_core.layertar.globs import plain_path

_REGULAR = (b'0', b'7', b'S')


class _Aside(NamedTuple):
    """Where a file lies in the temporary one: its headers, then its sparse map and data."""

    offset: int
    headers: int
    size: int


class LeftOut:
    """What was left out of one layer so far. A hard link to it becomes the file itself; later ones link to that."""

    def __init__(self, folder: str | None) -> None:
        """`folder` is for the temporary file, which has no name and ends with this object; None: the usual one."""
        self._folder = folder
        self._file: BinaryIO | None = None
        self._end = 0
        self._aside: dict[bytes, _Aside] = {}
        self._elsewhere: dict[bytes, bytes] = {}
        """Names that are gone, and what stands for each: the target of a link, or the link that became the file."""

    def add(self, entry: TarEntry, sparse: bytes, data: Iterable[memoryview]) -> None:
        """Take an entry that is left out, and read its data to the end; raises OutputError without room for it."""
        name = plain_path(entry.name)
        self._forget(name)
        if entry.type == HARD_LINK:
            self._elsewhere[name] = plain_path(entry.linkname)
        if entry.type not in _REGULAR:
            for _ in data:
                pass
            return
        start, headers = self._end, entry.raw
        self._write(headers + sparse)
        for piece in data:
            self._write(piece)
        self._aside[name] = _Aside(start, len(headers), self._end - start - len(headers))

    def passes(self, entry: TarEntry) -> Iterator[bytes | memoryview]:
        """Yield what must follow the headers of an entry that stays, other than its own data; may change the entry."""
        if not self._aside and not self._elsewhere:
            return iter(())
        name = plain_path(entry.name)
        if entry.type != HARD_LINK:
            self._forget(name)
            return iter(())
        target = self._resolved(plain_path(entry.linkname))
        self._forget(name)
        aside = self._aside.pop(target, None)
        if aside is None:
            if target != plain_path(entry.linkname):
                entry.set_linkname(target)
            return iter(())
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
