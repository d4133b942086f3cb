"""Sparse files in all formats that GNU tar writes (GNU tar manual, Sparse Formats)."""
from collections.abc import Callable, Sequence

from tests.hostile.extraction.stacks import GNU, Entry, Part, Raw, extended

Extents = Sequence[tuple[int, bytes]]
"""Where data lies in the file, and what it is."""


def expanded(extents: Extents, size: int) -> bytes:
    """Return the file as it must come out."""
    whole = bytearray(size)
    for offset, data in extents:
        whole[offset:offset + len(data)] = data
    return bytes(whole)


def old_gnu(name: str, extents: Extents, size: int) -> Part:
    """Return a file in the old GNU format: type `S`, four extents in the header and more in blocks behind it."""
    pairs = [b'%011o\0%011o\0' % (offset, len(data)) for offset, data in extents]
    first, rest = pairs[:4], pairs[4:]
    fields = {'magic': GNU, 'sparse': b''.join(first).ljust(96, b'\0') + bytes([bool(rest)]) + b'%011o\0' % size}
    data = b''.join(data for _, data in extents)
    header = Entry(name, b'S', fields={**fields, 'size': b'%011o\0' % len(data)}).tobytes()
    blocks = b''.join(b''.join(rest[at:at + 21]).ljust(504, b'\0') + bytes([at + 21 < len(rest)]) + bytes(7)
                      for at in range(0, len(rest), 21))
    return Raw(header + blocks + data + bytes(-len(data) % 512))


def pax_0_0(name: str, extents: Extents, size: int) -> Part:
    """Return a file in PAX format 0.0, which repeats a key for every extent."""
    records = [('GNU.sparse.size', b'%d' % size), ('GNU.sparse.numblocks', b'%d' % len(extents))]
    for offset, data in extents:
        records += [('GNU.sparse.offset', b'%d' % offset), ('GNU.sparse.numbytes', b'%d' % len(data))]
    return Raw(extended(records) + Entry(name, content=b''.join(data for _, data in extents)).tobytes())


def pax_0_1(name: str, extents: Extents, size: int) -> Part:
    """Return a file in PAX format 0.1, which has the map in one record and a made-up name in the header."""
    numbers = b','.join(b'%d,%d' % (offset, len(data)) for offset, data in extents)
    pax = {'GNU.sparse.size': b'%d' % size, 'GNU.sparse.numblocks': b'%d' % len(extents), 'GNU.sparse.map': numbers,
           'GNU.sparse.name': name.encode()}
    return Entry('./GNUSparseFile.1/x', content=b''.join(data for _, data in extents), pax=pax)


def pax_1_0(name: str, extents: Extents, size: int) -> Part:
    """Return a file in PAX format 1.0, which has the map before the data."""
    numbers = [len(extents), *(number for offset, data in extents for number in (offset, len(data)))]
    sparse_map = b''.join(b'%d\n' % number for number in numbers)
    pax = {'GNU.sparse.major': b'1', 'GNU.sparse.minor': b'0', 'GNU.sparse.name': name.encode(),
           'GNU.sparse.realsize': b'%d' % size}
    content = sparse_map + bytes(-len(sparse_map) % 512) + b''.join(data for _, data in extents)
    return Entry('./GNUSparseFile.1/x', content=content, pax=pax)


FORMATS: dict[str, Callable[[str, Extents, int], Part]] = {
    'old GNU': old_gnu, 'PAX 0.0': pax_0_0, 'PAX 0.1': pax_0_1, 'PAX 1.0': pax_1_0}
