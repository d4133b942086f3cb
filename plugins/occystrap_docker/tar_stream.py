"""Reading a tar as it streams: file by file, in the order of arrival, nothing kept."""
import tarfile
from collections.abc import Iterator, Mapping

from occystrap_core import ChunkedSource, InvalidImage, ServiceUnavailable

_BLOCK = 512
_EXTENSION_CAP = 1 << 20
_GNU_NAMES = {tarfile.GNUTYPE_LONGNAME: 'path', tarfile.GNUTYPE_LONGLINK: 'linkpath'}


class StreamedFile(ChunkedSource):
    """One regular file of the stream, to be read before the next; what is not read of it is passed over."""

    def __init__(self, name: str, size: int, stream: 'TarStream') -> None:
        """`size` in bytes."""
        super().__init__()
        self.name, self.size = name, size
        self._stream, self._left = stream, size

    def peek(self) -> bytes:
        """Return the first four bytes, or all there are, before anything was read."""
        return self._stream.peek(min(4, self._left))

    def chunks(self) -> Iterator[memoryview]:
        """Yield the file's bytes as they arrive."""
        while self._left:
            piece = self._stream.some(self._left)
            self._left -= len(piece)
            yield piece

    def skip(self) -> None:
        """Pass over what was not read."""
        for _ in self.chunks():
            pass


class TarStream:
    """The files of a tar that comes as a stream (POSIX ustar and pax, GNU long names)."""

    def __init__(self, source: ChunkedSource, what: str) -> None:
        """`what` names the archive in errors."""
        self._pieces, self._what = source.chunks(), what
        self._piece = memoryview(b'')

    def files(self) -> Iterator[StreamedFile]:
        """Yield the regular files; raises InvalidImage when the stream is no tar, ServiceUnavailable when it is cut."""
        while (header := self._header()) is not None:
            size = header.size if header.isreg() or header.type not in tarfile.SUPPORTED_TYPES else 0
            file = StreamedFile(header.name, size, self)
            if header.isreg():
                yield file
            file.skip()
            self._exactly(-size % _BLOCK)
        for _ in self._pieces:
            pass

    def peek(self, count: int) -> bytes:
        """Return the next bytes without passing them."""
        if len(self._piece) < count:
            self._piece = memoryview(self._exactly(count) + bytes(self._piece))
        return bytes(self._piece[:count])

    def some(self, most: int) -> memoryview:
        """Return the next bytes, at least one, valid until the next call."""
        if not self._piece:
            self._piece = next(self._pieces, self._piece)
        if not self._piece:
            raise ServiceUnavailable(f'{self._what} ends in the middle: see the log of the daemon, then try again')
        piece, self._piece = self._piece[:most], self._piece[most:]
        return piece

    def _exactly(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            taken += self.some(count - len(taken))
        return bytes(taken)

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header with what extensions say of it, None at the end of the archive."""
        said: dict[str, str] = {}
        while True:
            header = self._parsed(self._exactly(_BLOCK))
            if header is None:
                return None
            if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, *_GNU_NAMES):
                said.update(self._extension(header))
                continue
            header.name = said.get('path', header.name)
            header.size = _number(said['size'], self._what) if 'size' in said else header.size
            return header

    def _parsed(self, block: bytes) -> tarfile.TarInfo | None:
        if not block.strip(b'\0'):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, 'utf-8', 'surrogateescape')
        except tarfile.HeaderError as error:
            raise InvalidImage(f'{self._what} is a broken tar: {error}') from None
        if header.size < 0:
            raise InvalidImage(f'{self._what}: {header.name!r} has a negative size')
        return header

    def _extension(self, header: tarfile.TarInfo) -> Mapping[str, str]:
        """Return the fields that an extended header sets for the file behind it; a global one concerns no name."""
        if header.size > _EXTENSION_CAP:
            raise InvalidImage(f'{self._what} has an extended header of {header.size} bytes')
        data = self._exactly(header.size)
        self._exactly(-header.size % _BLOCK)
        if header.type == tarfile.XGLTYPE:
            return {}
        if header.type in _GNU_NAMES:
            return {_GNU_NAMES[header.type]: data.rstrip(b'\0').decode('utf-8', 'surrogateescape')}
        return _records(data, self._what)


def _records(data: bytes, what: str) -> dict[str, str]:
    """Return the records of a pax header: length, space, key=value, newline (POSIX pax, 'pax Extended Header')."""
    records: dict[str, str] = {}
    while data:
        length, space, rest = data.partition(b' ')
        end = _number(length.decode('ascii', 'replace'), what) - len(length) - 1
        key, equals, value = rest[:max(0, end)].rstrip(b'\n').partition(b'=')
        if not (space and equals and end <= len(rest)):
            raise InvalidImage(f'{what} has a malformed extended header')
        records[key.decode('utf-8', 'surrogateescape')] = value.decode('utf-8', 'surrogateescape')
        data = rest[end:]
    return records


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidImage(f'{what} has a malformed extended header')
    return int(text)
