"""Reading tars as they stream, in pieces of any size."""
import tarfile
from collections.abc import Iterator

import pytest

from occystrap_core import InvalidImage, ServiceUnavailable
from occystrap_core.files import IteratorSource
from occystrap_docker.export.tar_stream import TarStream
from tests.unit.docker.layouts import make_tar

LONG = 'a-directory/' * 20 + 'file'
FILES = [('first', b'1' * 700), ('empty', b''), (LONG, b'long name'), ('grüße', b'3' * 512), ('last', b'end')]


def stream(archive: bytes, piece: int = 1000) -> TarStream:
    pieces: Iterator[bytes] = (archive[start:start + piece] for start in range(0, len(archive), piece))
    return TarStream(IteratorSource(pieces), 'the archive')


@pytest.mark.parametrize('format', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize('piece', [1, 511, 512, 4096, 1 << 20])
def test_files_come_with_names_and_content(piece: int, format: int) -> None:
    found = [(file.name, b''.join(file.chunks())) for file in stream(make_tar(FILES, format=format), piece).files()]
    assert found == FILES


def test_unread_members_are_skipped() -> None:
    names = []
    for file in stream(make_tar(FILES)).files():
        names.append((file.name, file.size))
        if file.name == 'first':
            assert bytes(next(file.chunks())) == b'1' * 488  # as far as the first piece of 1000 bytes goes
    assert names == [(name, len(content)) for name, content in FILES]


def test_peeking_takes_nothing() -> None:
    for file in stream(make_tar(FILES), 3).files():
        content = dict(FILES)[file.name]
        assert file.peek() == content[:10]
        assert b''.join(file.chunks()) == content


def test_links_and_directories_are_no_files() -> None:
    archive = make_tar([('link', None, 'first'), ('first', b'1')])
    assert [file.name for file in stream(archive).files()] == ['first']


def test_sizes_beyond_eight_gibibytes_in_pax_and_base_256() -> None:
    size = 9 << 30
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        header = tarfile.TarInfo('huge')
        header.size = size
        assert next(stream(header.tobuf(format) + b'begin' * 1000).files()).size == size


def test_a_cut_at_every_block_is_an_error() -> None:
    archive = make_tar([('first', b'1' * 700), (LONG, b'2'), ('last', b'3')], format=tarfile.PAX_FORMAT)
    end = len(archive.rstrip(b'\0')) // 512 * 512 + 512
    for cut in range(0, end, 512):
        with pytest.raises(ServiceUnavailable, match='the archive ends in the middle'):
            for file in stream(archive[:cut]).files():
                b''.join(file.chunks())


def damaged_header(place: int, data: bytes, checksum: bool = True) -> bytes:
    archive = bytearray(make_tar([('file', b'content')]))
    archive[place:place + len(data)] = data
    if checksum:
        archive[148:156] = b' ' * 8
        archive[148:156] = f'{sum(archive[:512]):06o}\0 '.encode()
    return bytes(archive)


@pytest.mark.parametrize('archive', [
    b'this is no tar at all' * 100,
    damaged_header(0, b'other', checksum=False),
    damaged_header(124, b'\xff' * 12),
    damaged_header(124, b'\xff' * 12, checksum=False),
], ids=['text', 'checksum', 'negative size', 'negative size and checksum'])
def test_invalid_tars_are_errors(archive: bytes) -> None:
    with pytest.raises(InvalidImage, match='the archive'):
        list(stream(archive).files())


@pytest.mark.parametrize('records', [
    b'no number', b'5 a=b\n9999999999999999999999 a=b\n', b'99 size=5\n', b'0 a=b\n', b'3 a', b'12 size=-512\n',
    b'13 size=junk\n',
])
def test_malformed_extended_headers_are_an_error(records: bytes) -> None:
    header = tarfile.TarInfo('pax')
    header.type, header.size = tarfile.XHDTYPE, len(records)
    with pytest.raises(InvalidImage, match='malformed'):
        list(stream(header.tobuf() + records.ljust(512, b'\0') + make_tar(FILES)).files())


def test_an_endless_extended_header_is_an_error() -> None:
    header = tarfile.TarInfo('pax')
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(InvalidImage, match='extended header of'):
        list(stream(header.tobuf(tarfile.GNU_FORMAT) + make_tar(FILES)).files())
