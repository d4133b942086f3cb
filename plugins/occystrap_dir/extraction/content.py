"""The content of files: written and hashed in one pass, with the holes of sparse files."""
import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from occystrap_core.files import WRITEBACK, start_writeback, write_all
from occystrap_core.tar import SparseContent, TarReader
from occystrap_dir.extraction.limits import Budget

if TYPE_CHECKING:
    from hashlib import _Hash

_ZEROS = memoryview(bytes(1 << 20))


def write_content(descriptor: int, reader: TarReader, budget: Budget, sync: bool) -> bytes:
    """Write the current entry's data to an open file and return the keywords of its size and digest.

    With `sync` the system starts writing it to the device early. Raises OSError, and what the reader raises.
    """
    data = reader.whole()
    if data is not None:
        write_all(descriptor, data)
        return b' size=%d sha256digest=%s' % (len(data), hashlib.sha256(data).hexdigest().encode())
    sparse = reader.sparse()
    content = hashlib.sha256()
    if sparse is None:
        size = _write_plain(descriptor, reader.data(), content, sync)
    else:
        size = sparse.size
        budget.passed(size - sum(length for _, length in sparse.extents))
        _write_sparse(descriptor, sparse, reader.data(), content)
    return b' size=%d sha256digest=%s' % (size, content.hexdigest().encode())


def _write_plain(descriptor: int, data: Iterator[memoryview], content: '_Hash', sync: bool) -> int:
    size = flushing = 0
    for piece in data:
        content.update(piece)
        size += len(piece)
        write_all(descriptor, piece)
        if sync and size - flushing >= WRITEBACK:
            start_writeback(descriptor, flushing, size - flushing)
            flushing = size
    return size


def _write_sparse(descriptor: int, sparse: SparseContent, data: Iterator[memoryview], content: '_Hash') -> None:
    place, rest = 0, memoryview(b'')
    for offset, length in sparse.extents:
        _hash_zeros(content, offset - place)
        os.lseek(descriptor, offset, os.SEEK_SET)
        place = offset + length
        while length:
            rest = rest or next(data)
            piece, rest = rest[:length], rest[length:]
            content.update(piece)
            write_all(descriptor, piece)
            length -= len(piece)
    _hash_zeros(content, sparse.size - place)
    os.ftruncate(descriptor, sparse.size)


def _hash_zeros(content: '_Hash', count: int) -> None:
    while count > 0:
        content.update(_ZEROS[:count])
        count -= len(_ZEROS)
