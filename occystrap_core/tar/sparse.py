"""Maps of sparse files in tars: where their data belong (GNU tar manual, Storing Sparse Files, all four formats)."""
from collections.abc import Callable, Iterator
from typing import NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import GNU_SPARSE
from occystrap_core.tar.header import EXTENDED_CAP
from occystrap_core.tar.pax import Records

Extents = list[tuple[int, int]]
"""Offset and length, in bytes, of each piece of data, in order."""

_OLD_PAIR, _OLD_SIZE = 24, slice(483, 495)
_ZEROS = memoryview(bytes(64 << 10))


class SparseContent(NamedTuple):
    """The layout of a sparse file: where its data belong, and its full size in bytes."""

    extents: Extents
    size: int

    def whole(self, data: Iterator[memoryview]) -> Iterator[memoryview]:
        """Yield the file's bytes, with zeros for holes; `data` are those of the entry."""
        place, rest = 0, memoryview(b'')
        for offset, length in self.extents:
            yield from _zeros(offset - place)
            place = offset + length
            while length:
                rest = rest or next(data)
                piece, rest = rest[:length], rest[length:]
                length -= len(piece)
                yield piece
        yield from _zeros(self.size - place)


def extents(entry: TarEntry, headers: bytes, data: int, take: Callable[[int], bytes]) -> SparseContent | None:
    """Return the map of a sparse file, None for any other file; raises InvalidImage for a malformed map.

    `headers` are the further headers of the old GNU format; the entry has `data` bytes, and `take` reads from them the
    map of format 1.0.
    """
    if entry.type == GNU_SPARSE:
        pieces, size = _old(entry.header, headers), fields.read_number(entry.header[_OLD_SIZE], 'real size')
    elif not entry.is_pax_sparse:
        return None
    elif _version(entry) == (b'1', b'0'):
        pieces, used = _in_data(take)
        size, data = _real_size(entry), data - used
    else:
        pieces, size = _in_records(entry), _real_size(entry)
    _require_order(pieces, fields.checked_size(size), data)
    return SparseContent([piece for piece in pieces if piece[1]], size)


def full_size(entry: TarEntry) -> int:
    """Return the size of a file in bytes, with the holes if it is sparse; raises InvalidImage for a malformed one."""
    if entry.type == GNU_SPARSE:
        return fields.checked_size(fields.read_number(entry.header[_OLD_SIZE], 'real size'))
    return fields.checked_size(_real_size(entry)) if entry.is_pax_sparse else entry.size


def _version(entry: TarEntry) -> tuple[bytes, bytes]:
    """Return the version of the format; raises InvalidImage for an unknown one."""
    major, minor = (entry.pax.get(b'GNU.sparse.' + part, b'') for part in (b'major', b'minor'))
    if (major, minor) not in ((b'', b''), (b'0', b'0'), (b'0', b'1'), (b'1', b'0')):
        raise InvalidImage(f'a sparse file in a tar has a map of the unknown version {major[:9]!r}.{minor[:9]!r}')
    return major, minor


def _real_size(entry: TarEntry) -> int:
    return _number(entry.pax.get(b'GNU.sparse.size') or entry.pax.get(b'GNU.sparse.realsize', b''))


def _in_records(entry: TarEntry) -> Extents:
    """Return the map in PAX records: all of it in one, or two records for each piece."""
    if b'GNU.sparse.map' in entry.pax:
        pieces = _pairs(entry.pax[b'GNU.sparse.map'].split(b','))
    else:
        pieces = _pairs(list(_in_turn(entry.records)))
    if len(pieces) != _number(entry.pax.get(b'GNU.sparse.numblocks', b'')):
        raise InvalidImage('a sparse file in a tar has a map of another length than declared')
    return pieces


def _in_turn(records: Records) -> Iterator[bytes]:
    """Yield the numbers of format 0.0; raises InvalidImage unless offsets and lengths alternate."""
    keys = (b'GNU.sparse.offset', b'GNU.sparse.numbytes')
    found = [(key, number) for key, number in records if key in keys]
    for place, (key, number) in enumerate(found):
        if key != keys[place % 2]:
            raise InvalidImage('a sparse file in a tar has a malformed map')
        yield number


def _old(header: bytes, further: bytes) -> Extents:
    """Return the map: four pairs in the header, 21 in each further header."""
    blocks = [header[386:386 + 4 * _OLD_PAIR]]
    blocks += [further[place:place + 21 * _OLD_PAIR] for place in range(0, len(further), fields.BLOCK)]
    pieces: Extents = []
    for block in blocks:
        for place in range(0, len(block), _OLD_PAIR):
            pair = block[place:place + _OLD_PAIR]
            if pair[:1] == b'\0' and pair[12:13] == b'\0':
                return pieces
            pieces.append((fields.read_number(pair[:12], 'offset'), fields.read_number(pair[12:], 'length')))
    return pieces


def _in_data(take: Callable[[int], bytes]) -> tuple[Extents, int]:
    """Return the map before the data, a decimal number on each line, and the number of its bytes."""
    numbers: list[bytes] = []
    rest, used, needed = b'', 0, 1
    while len(numbers) < needed:
        if used >= EXTENDED_CAP:
            raise InvalidImage(f'a sparse file in a tar has a map of more than {EXTENDED_CAP} bytes')
        rest, used = rest + take(fields.BLOCK), used + fields.BLOCK
        *lines, rest = rest.split(b'\n')
        numbers += lines
        if len(rest) > fields.BLOCK:
            raise InvalidImage('a sparse file in a tar has a malformed map')
        needed = 1 + 2 * _number(numbers[0]) if numbers else 1
    return _pairs(numbers[1:needed]), used


def _pairs(numbers: list[bytes]) -> Extents:
    values = [_number(each) for each in numbers]
    if len(values) % 2:
        raise InvalidImage('a sparse file in a tar has a malformed map')
    return list(zip(values[::2], values[1::2], strict=True))


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise InvalidImage(f'a sparse file in a tar has the malformed number {text[:40]!r}')
    return int(text)


def _require_order(pieces: Extents, size: int, data: int) -> None:
    """Raise InvalidImage unless the pieces are in order, within the file, and cover all its data."""
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0 or offset + length > size:
            raise InvalidImage('a sparse file in a tar has a map whose pieces overlap or lie outside of it')
        end = offset + length
    if sum(length for _, length in pieces) != data:
        raise InvalidImage('a sparse file in a tar has other data than its map says')


def _zeros(count: int) -> Iterator[memoryview]:
    while count > 0:
        yield _ZEROS[:count]
        count -= len(_ZEROS)
