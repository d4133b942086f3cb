"""Values just within and just beyond what is read, kept, or refused, and what is unchanged stays so."""
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidImage, OutputError
from occystrap_core.files.stream import ByteStream
from occystrap_core.name_memory import NameMemory
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.header import EXTENDED_CAP
from occystrap_core.tar.left_out import LeftOut
from occystrap_core.tar.path_keys import COST, path_key, path_keys
from occystrap_core.tar.pax import counting_records, parse_records, record_number, write_records
from occystrap_core.tar.reader import TarFileReader, TarReader
from occystrap_core.tar.rewriter import RewrittenTar
from occystrap_core.tar.sparse import SparseContent
from occystrap_core.tar.whiteouts import DELETED, SHADOWED, LayerEffects
from tests.unit.core.tar.raw import END, GNU, base256, gnu_long, header, member, pax, record, sparse
from tests.unit.core.tar.test_headers import entries, refused
from tests.unit.core.tar.test_reader import dribbled
from tests.unit.core.tar.test_rewriter import rewrite, unchanged


def parsed(*blocks: bytes) -> TarEntry:
    return TarEntry.parse(b''.join(blocks))


# Entries

@pytest.mark.parametrize(('record_text', 'expected'), [
    (b'1.123456789', 1_123_456_789), (b'1.1234567899', 1_123_456_789), (b'1.5', 1_500_000_000), (b'1.', 10 ** 9),
    (b'1', 10 ** 9),
    (b'-1.25', -1_250_000_000), (b'0.000000001', 1), (b'-0.000000001', -1)])
def test_times_in_records(record_text: bytes, expected: int) -> None:
    entry = parsed(pax((b'mtime', record_text)), header(b'a'))
    assert entry.mtime_ns == expected and entry.mtime == expected / 10 ** 9 and entry.attributes[3] == expected


@pytest.mark.parametrize('text', [b'1.x', b'x.1', b'.5', b'1.5.5', b'--1', b'1e5', b'+1', b' 1'])
def test_malformed_times_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidImage, match='malformed mtime'):
        parsed(pax((b'mtime', text)), header(b'a')).mtime_ns  # noqa: B018


@pytest.mark.parametrize('kind', [b'1', b'2', b'3', b'4', b'5', b'6'])
def test_entries_without_data_have_a_size_in_the_header_alone(kind: bytes) -> None:
    entry = parsed(pax((b'size', b'7')), header(b'a', 5, kind))
    assert entry.size == 0 and entry.given_size == 5


def test_sizes_of_headers_may_be_negative_and_records_come_first() -> None:
    entry = parsed(pax((b'size', b'7')), header(b'a', size=base256(-2)))
    assert (entry.size, entry.given_size) == (7, -2)


def test_an_old_file_has_the_type_of_a_file() -> None:
    assert parsed(header(b'a', kind=b'\0')).type == b'0' and parsed(header(b'a', kind=b'7')).type == b'7'


def test_entries_with_extended_headers_are_not_bare() -> None:
    assert parsed(header(b'a')).is_bare is True and parsed(pax((b'comment', b'c')), header(b'a')).is_bare is False


@pytest.mark.parametrize(('blocks', 'is_ambiguous'), [
    ([], False), ([pax((b'path', b'p'))], False), ([gnu_long(b'n')], False), ([gnu_long(b'n', b'K')], False),
    ([gnu_long(b'n'), gnu_long(b'n', b'K')], False), ([gnu_long(b'n'), pax((b'comment', b'c'))], False),
    ([gnu_long(b'n'), pax((b'linkpath', b'p'))], False), ([gnu_long(b'n'), pax((b'path', b'p'))], True),
    ([gnu_long(b'n', b'K'), pax((b'linkpath', b'p'))], True), ([gnu_long(b'n', b'K'), pax((b'path', b'p'))], False),
    ([gnu_long(b'n'), gnu_long(b'm')], True), ([pax((b'a', b'b')), pax((b'c', b'd'))], True)])
def test_values_given_twice(blocks: list[bytes], is_ambiguous: bool) -> None:
    assert parsed(*blocks, header(b'a')).is_ambiguous is is_ambiguous


@pytest.mark.parametrize(('records', 'is_sparse'), [
    ([], False), ([(b'comment', b'c')], False), ([(b'GNU.sparse.name', b'n')], False), ([(b'GNU.sparse.major', b'1')],
                                                                                        True),
    ([(b'GNU.sparse.map', b'')], False), ([(b'GNU.sparse.map', b'0,1')], True), ([(b'GNU.sparse.offset', b'0')], True),
    ([(b'GNU.sparse.numbytes', b'0')], True)])
def test_signs_of_a_sparse_file(records: list[tuple[bytes, bytes]], is_sparse: bool) -> None:
    assert parsed(*([pax(*records)] if records else []), header(b'a')).is_pax_sparse is is_sparse


def test_a_sparse_directory_is_refused_before_its_data() -> None:
    tar = pax((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0')) + header(b'a', kind=b'5')
    refused(tar + END, 'a: a sparse file in a tar has type 5')


def test_fields_set_to_the_same_value_are_unchanged() -> None:
    blocks = [pax((b'comment', b'c'), (b'mtime', b'8')), header(b'a', kind=b'2', linkname=b'target',
                                                                mtime=b'00000000010\0')]
    entry = parsed(*blocks)
    entry.set_linkname(b'target')
    assert not entry.changed and entry.raw == b''.join(blocks)
    owned = parsed(pax((b'comment', b'c')), header(b'a'))
    owned.set_owner(0, 0)
    assert not owned.changed


def test_times_of_extended_headers_are_set_too() -> None:
    entry = parsed(pax((b'mtime', b'5.5'), (b'atime', b'5'), (b'ctime', b'5'), (b'LIBARCHIVE.creationtime', b'5'),
                       (b'comment', b'5')),
                   gnu_long(b'n' * 120), header(b'a', mtime=b'00000000010\0'))
    entry.set_times(8)
    assert entry.changed and entry.records == [(b'mtime', b'8'), (b'atime', b'8'), (b'ctime', b'8'),
                                               (b'LIBARCHIVE.creationtime', b'8'), (b'comment', b'5')]
    again = TarEntry.parse(entry.raw)
    again.set_times(8)
    assert not again.changed and again.raw == entry.raw and again.name == b'n' * 120


def test_extended_headers_are_padded_to_whole_blocks() -> None:
    for length in (1, 511 - 8, 512 - 8, 513 - 8, 600):
        blocks = member(b'././@LongLink', b'n' * length, b'L', GNU) + header(b'a')
        entry = parsed(blocks)
        assert entry.raw == blocks and entry.name == b'n' * length


# Numbers and records

@pytest.mark.parametrize(('text', 'is_right'), [
    (b'9223372036854775807', True), (b'9223372036854775808', False), (b'9' * 20, False), (b'', False), (b'1a', False),
    (b'0', True)])
def test_numbers_of_records(text: bytes, is_right: bool) -> None:
    if is_right:
        assert record_number(text, 'uid') == int(text)
    else:
        with pytest.raises(InvalidImage, match='malformed uid|64 bits'):
            record_number(text, 'uid')


def test_the_length_of_a_record_has_at_most_twenty_digits() -> None:
    assert parse_records(b'0' * 18 + b'25 a=b\n') == [(b'a', b'b')]
    assert parse_records(b'0' * 18 + b'25 a=b\n' + record(b'c', b'd')) == [(b'a', b'b'), (b'c', b'd')]
    with pytest.raises(InvalidImage, match='malformed PAX record'):
        parse_records(b'0' * 19 + b'26 a=b\n')


@pytest.mark.parametrize('length', [0, 1, 2, 4, 5, 90, 91, 92, 93, 94, 989, 990, 991, 992, 993, 9989, 9990, 9991])
def test_records_say_their_own_length(length: int) -> None:
    raw = write_records([(b'k', b'v' * length)])
    assert raw == record(b'k', b'v' * length) and int(raw.partition(b' ')[0]) == len(raw)


@pytest.mark.parametrize(('records', 'expected'), [
    ([(b'a', b'')], {}), ([(b'a', b'1'), (b'a', b'')], {}), ([(b'a', b''), (b'a', b'1')], {b'a': b'1'}),
    ([(b'SCHILY.xattr.user.a', b''), (b'b', b'')], {b'SCHILY.xattr.user.a': b''})])
def test_which_records_count(records: list[tuple[bytes, bytes]], expected: dict[bytes, bytes]) -> None:
    assert counting_records(records) == expected


# Limits of the scanner

@pytest.mark.parametrize('size', [EXTENDED_CAP, EXTENDED_CAP + 1])
def test_an_extended_header_of_the_largest_size(size: int) -> None:
    rest = b' comment=' + b'x' * (size - 17) + b'\n'
    tar = member(b'p', b'%d%s' % (size, rest), b'x') + member(b'a') + END
    if size > EXTENDED_CAP:
        refused(tar, f'extended header of {size} bytes, more than the {EXTENDED_CAP} allowed')
    else:
        assert [entry.name for entry, _ in entries(tar)] == [b'a']


def further(*pieces: tuple[int, int], more: bool = False) -> bytes:
    """Return a further header of an old sparse file's map."""
    return (b''.join(b'%011o\0%011o\0' % piece for piece in pieces)).ljust(504, b'\0') + (b'\1' if more
                                                                                          else b'\0') + bytes(7)


@pytest.mark.parametrize(('count', 'chunk'), [(1, 1 << 19), (4, 100), (5, 512), (25, 100), (26, 1 << 19), (60, 700)])
def test_maps_of_old_sparse_files_go_on_in_further_headers(count: int, chunk: int) -> None:
    pieces = [(place * 10, 1) for place in range(count)]
    rest = [pieces[place:place + 21] for place in range(4, count, 21)]
    first = sparse(pieces[:4], 1000, size=b'%011o\0' % count, is_extended=b'\1' if rest else b'\0')
    blocks = b''.join(further(*each, more=number + 1 < len(rest)) for number, each in enumerate(rest))
    tar = first + blocks + (b'y' * count).ljust(512, b'\0') + member(b'b') + END
    (_, content), (after, _) = entries(tar, chunk)
    assert content == b''.join(b'y' + bytes(9) for _ in pieces).ljust(1000, b'\0') and after.name == b'b'
    assert rewrite(tar, unchanged, most=chunk) == tar


def test_a_map_that_never_ends_is_refused() -> None:
    headers = EXTENDED_CAP // 512
    refused(sparse([], 0, is_extended=b'\1') + further(more=True) * (headers + 1), 'endless sparse map')
    tar = sparse([], 0, is_extended=b'\1') + further(more=True) * (headers - 1) + further() + member(b'b') + END
    assert [entry.name for entry, _ in entries(tar)] == [b'a', b'b']


@pytest.mark.parametrize(('pieces', 'size', 'is_right'), [
    ([(0, 4), (4, 4)], 8, True), ([(0, 4), (3, 4)], 8, False), ([(0, 4), (4, 5)], 8, False), ([(4, 4), (0, 4)], 8,
                                                                                              False),
    ([(0, 0), (0, 8)], 8, True), ([(8, 0), (0, 8)], 8, False), ([(0, 8), (8, 0)], 8, True), ([(0, 8), (9, 0)], 8,
                                                                                             False)])
def test_pieces_are_in_order_and_within_the_file(pieces: list[tuple[int, int]], size: int, is_right: bool) -> None:
    count = sum(length for _, length in pieces)
    tar = sparse(pieces, size) + (b'y' * count).ljust(512, b'\0') + END
    if is_right:
        assert [len(content) for _, content in entries(tar)] == [size]
    else:
        with pytest.raises(InvalidImage, match='overlap or lie outside'):
            entries(tar)


def pax_sparse(version: tuple[bytes, bytes], **values: bytes) -> bytes:
    """Return PAX records of a sparse file."""
    records = {'major': version[0], 'minor': version[1], **values}
    return pax(*((b'GNU.sparse.' + key.encode(), value) for key, value in records.items()))


@pytest.mark.parametrize(('digits', 'is_right'), [(19, True), (20, False)])
def test_numbers_of_maps_have_at_most_nineteen_digits(digits: int, is_right: bool) -> None:
    sparse_header = pax_sparse((b'0', b'1'), map=b'0' * (digits - 1) + b'0,1', numblocks=b'1', size=b'0' * 18 + b'1')
    if is_right:
        assert entries(sparse_header + member(b'a', b'y') + END)[0][1] == b'y'
    else:
        with pytest.raises(InvalidImage, match='malformed number'):
            entries(sparse_header + member(b'a', b'y') + END)


@pytest.mark.parametrize('version', [(b'0', b'2'), (b'1', b'1'), (b'2', b'0'), (b'1', b'x')])
def test_unknown_versions_of_maps_are_refused(version: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidImage, match='map of the unknown version'):
        entries(pax_sparse(version, map=b'0,1', numblocks=b'1', size=b'1') + member(b'a', b'y') + END)


def test_maps_in_data_may_take_many_blocks() -> None:
    count = 200
    text = (b'%d\n' % count + b''.join(b'%d\n1\n' % (place * 2) for place in range(count)))
    text = text.ljust((len(text) + 511) // 512 * 512, b'\0')
    tar = pax_sparse((b'1', b'0'), realsize=b'400') + member(b'a', text + b'y' * count) + member(b'b') + END
    for most in (100, 512, 1 << 19):
        (_, content), (after, _) = entries(tar, most)
        assert content == b'y\0' * count and after.name == b'b'


def test_a_map_in_data_is_no_longer_than_allowed() -> None:
    zeros = b'%d\n' % (EXTENDED_CAP // 4 - 2) + b'0\n' * (EXTENDED_CAP // 2 - 4)
    text = zeros.ljust(EXTENDED_CAP, b'\0')
    assert len(zeros) <= EXTENDED_CAP
    (_, content), = entries(pax_sparse((b'1', b'0'), realsize=b'0') + member(b'a', text) + END)
    assert content == b''
    with pytest.raises(InvalidImage, match=f'map of more than {EXTENDED_CAP} bytes'):
        entries(pax_sparse((b'1', b'0'), realsize=b'0') + member(b'a', b'%d\n' % (EXTENDED_CAP // 2) + text) + END)


@pytest.mark.parametrize('length', [511, 512, 513])
def test_a_line_of_a_map_is_no_longer_than_a_block(length: int) -> None:
    tar = pax_sparse((b'1', b'0'), realsize=b'0') + member(b'a', b'0' * length + b'\n' + b'0' * 2000) + END
    with pytest.raises(InvalidImage, match='malformed number|malformed map'):
        entries(tar)


def test_holes_are_zeros_whatever_their_length() -> None:
    for hole in (0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 3 * (64 << 10)):
        content = SparseContent([(hole, 3)], 2 * hole + 3)
        pieces = [bytes(each) for each in content.whole(iter([memoryview(b'ab'), memoryview(b'cd')]))]
        assert b''.join(pieces) == bytes(hole) + b'abc' + bytes(hole) and all(pieces)
        assert max(map(len, pieces)) <= 64 << 10


# Reading

def reader_of(*blocks: bytes, most: int = 1 << 19) -> TarReader:
    return TarReader(dribbled(b''.join(blocks), most))


@pytest.mark.parametrize('most', [1, 511, 512, 1 << 19])
def test_data_can_be_seen_before_they_are_read(most: int) -> None:
    reader = reader_of(member(b'a', b'12345'), member(b'b', b''), END, most=most)
    for _ in reader.entries():
        for count in (0, 1, 4, 5, 6):
            expected = b'12345' if reader.headers[:1] == b'a' else b''
            assert reader.peek(count) == expected[:count]
        assert b''.join(map(bytes, reader.data())) == expected
        assert reader.peek(1) == b''


def test_peeking_finds_a_truncated_tar() -> None:
    reader = reader_of(header(b'a', 600), b'x' * 100)
    next(reader.entries())
    with pytest.raises(InvalidImage, match='cut off within an entry'):
        reader.peek(101)


@pytest.mark.parametrize('most', [1, 511, 512, 1 << 19])
@pytest.mark.parametrize('padding', [0, 1, 506])
def test_the_last_entry_may_lack_its_padding(most: int, padding: int) -> None:
    tar = member(b'a', b'12345') + header(b'b', 5) + b'67890' + bytes(padding)
    reader = TarReader(dribbled(tar, most))
    assert [b''.join(map(bytes, reader.data())) for _ in reader.entries()] == [b'12345', b'67890']
    assert not reader.ended and not reader.has_end
    assert rewrite(tar, unchanged, most=most) == tar
    with pytest.raises(InvalidImage, match='cut off within an entry'):
        list(TarReader(dribbled(tar[:-1 - padding], most)).entries())


def test_data_in_one_piece() -> None:
    reader = reader_of(member(b'a', b'12345'), member(b'b', b''), pax((b'comment', b'c')), member(b'c', b'1'),
                       member(b'd', b'1', b'7'), END)
    found = []
    for _ in reader.entries():
        piece = reader.whole()
        found.append(None if piece is None else bytes(piece))
    assert found == [b'12345', b'', None, None]
    small = reader_of(member(b'a', b'12345'), END, most=514)
    next(small.entries())
    assert small.whole() is None and b''.join(map(bytes, small.data())) == b'12345'


def test_headers_come_as_they_are() -> None:
    blocks = [header(b'a'), pax((b'comment', b'c')) + header(b'b'), pax((b'comment', b'c'), kind=b'g') + header(b'c')]
    reader = reader_of(*blocks, END)
    assert [reader.headers for _ in reader.entries()] == [*blocks[:2], blocks[2][-512:]]


@pytest.mark.parametrize(('end', 'ended', 'has_end', 'trailing'), [
    (b'', False, False, False), (bytes(512), True, False, False), (bytes(1024), True, True, False),
    (bytes(1536), True, True, False), (bytes(1024) + b'x', True, True, True), (bytes(1024) + bytes(511) + b'x', True,
                                                                               True, True)])
@pytest.mark.parametrize('most', [1, 512, 1000, 1 << 19])
def test_how_an_archive_ends(end: bytes, ended: bool, has_end: bool, trailing: bool, most: int) -> None:
    reader = reader_of(member(b'a'), end, most=most)
    assert [entry.name for entry in reader.entries()] == [b'a']
    assert (reader.ended, reader.has_end, reader.has_trailing_data, reader.unread) == (ended, has_end, trailing, 0)


def file_reader(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[TarFileReader,
                                                                                      list[tuple[int, int]]]:
    """Return the reader of a file, and a list that gets how much it reads where."""
    path.write_bytes(content)
    read: list[tuple[int, int]] = []
    real = os.pread
    monkeypatch.setattr(os, 'pread', lambda descriptor, size, place: read.append((size, place)) or real(descriptor,
                                                                                                        size, place))
    return TarFileReader(os.open(path, os.O_RDONLY)), read


def test_a_file_is_read_from_its_beginning_without_unused_data(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    tar = member(b'a', bytes(1 << 20)) + member(b'b', b'12345') + END
    reader, read = file_reader(tmp_path / 'tar', tar, monkeypatch)
    offsets = {}
    for entry in reader.entries():
        offsets[entry.name] = reader.offset
        if entry.name == b'b':
            assert b''.join(map(bytes, reader.data())) == b'12345'
    assert offsets == {b'a': 512, b'b': 512 + (1 << 20) + 512} and sum(size for size, _ in read) < 1 << 16
    assert reader.has_end


def test_a_file_is_read_in_growing_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, read = file_reader(tmp_path / 'tar', member(b'a', b'x' * (2 << 20)) + END, monkeypatch)
    for _ in reader.entries():
        assert sum(len(piece) for piece in reader.data()) == 2 << 20
    sizes = [size for size, _ in read]
    assert sizes[:7] == [4096 << step for step in range(7)] and max(sizes) == 256 << 10


def test_holes_behind_the_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for end, trailing in ((b'', False), (b'x', True)):
        path = tmp_path / f'tar{len(end)}'
        reader, read = file_reader(path, member(b'a') + END, monkeypatch)
        with path.open('r+b') as file:
            file.truncate(64 << 20)
            file.seek(0, os.SEEK_END)
            file.write(end)
        assert [entry.name for entry in reader.entries()] == [b'a'] and reader.has_trailing_data is trailing
        assert sum(size for size, _ in read) < 1 << 20


# Rewriting

def test_closing_frees_everything(tmp_path: Path) -> None:
    before = len(os.listdir('/proc/self/fd'))
    memory = NameMemory()
    for _ in range(3):
        tar = RewrittenTar(ByteStream(io.BytesIO(member(b'a', b'x' * 100) + member(b'b') + END)), [without(b'a')],
                           str(tmp_path), memory)
        assert b''.join(bytes(chunk) for chunk in tar.chunks()) == member(b'b') + END
        tar.close()
    assert len(os.listdir('/proc/self/fd')) == before and os.listdir(tmp_path) == []


def without(name: bytes) -> Callable[[TarEntry], TarEntry | None]:
    return lambda entry: None if entry.name == name else entry


def test_a_place_without_space_is_an_output_error() -> None:
    left = LeftOut('/nowhere/at/all', NameMemory().share())
    with pytest.raises(OutputError,
                       match='cannot write to /nowhere/at/all: No such file or directory: free space or choose'):
        left.add(parsed(header(b'a', 1)), b'')


@pytest.mark.parametrize('size', [0, 1, 511, 512, 70_000, 1 << 20])
@pytest.mark.parametrize('most', [100, 1 << 20])
def test_the_first_link_to_a_file_that_is_left_out_becomes_the_file(size: int, most: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    tar = (member(b'a', content[:size], mode=b'0000600\0') + header(b'l', kind=b'1', linkname=b'./a')
           + header(b'm', kind=b'1', linkname=b'a') + member(b'z') + END)
    found = entries(rewrite(tar, without(b'a'), most=most))
    assert [(entry.name, entry.type, entry.linkname, content) for entry, content in found] == [
        (b'l', b'0', b'', content[:size]), (b'm', b'1', b'l', b''), (b'z', b'0', b'', b'x')]


def test_links_that_are_left_out_lead_to_what_they_led_to() -> None:
    links = [header(name, kind=b'1', linkname=target) for name, target in ((b'k', b'a'), (b'l', b'k'), (b'm', b'l'))]
    out = {b'k', b'l'}
    tar = member(b'a') + b''.join(links) + END
    found = entries(rewrite(tar, lambda entry: None if entry.name in out else entry))
    assert [(entry.name, entry.linkname) for entry, _ in found] == [(b'a', b''), (b'm', b'a')]


def test_a_name_that_comes_again_is_no_longer_the_one_left_out() -> None:
    seen: list[bytes] = []

    def first_a(entry: TarEntry) -> TarEntry | None:
        seen.append(entry.name)
        return None if entry.name == b'a' and seen.count(b'a') == 1 else entry
    tar = member(b'a', b'old') + member(b'a', b'new') + header(b'l', kind=b'1', linkname=b'a') + END
    assert [(entry.name, entry.linkname, content) for entry, content in entries(rewrite(tar, first_a))] == [
        (b'a', b'', b'new'), (b'l', b'a', b'')]


def test_a_directory_that_is_left_out_is_no_file_for_links() -> None:
    tar = member(b'a', b'old') + header(b'a', kind=b'5') + header(b'l', kind=b'1', linkname=b'a') + END
    assert [(entry.name, entry.linkname) for entry, _ in entries(rewrite(tar, without(b'a')))] == [(b'l', b'a')]


def test_sparse_files_that_are_left_out_keep_their_map() -> None:
    pieces = [(place * 10, 1) for place in range(6)]
    first = sparse(pieces[:4], 60, size=b'%011o\0' % 6, is_extended=b'\1')
    tar = first + further(*pieces[4:]) + b'y' * 6 + bytes(506) + header(b'l', kind=b'1', linkname=b'a', magic=GNU) + END
    (entry, content), = entries(rewrite(tar, without(b'a')))
    assert entry.name == b'l' and content == b''.join(b'y' + bytes(9) for _ in pieces)


@pytest.mark.parametrize('sizes', [[10], [32 << 10], [(32 << 10) - 1] * 40, [100, 40 << 10, 100], [1 << 20, 5],
                                   [1] * 3000])
def test_pieces_of_any_size_come_out_whole(sizes: list[int]) -> None:
    tar = b''.join(member(b'%d' % number, bytes([number % 251 + 1]) * size) for number, size in enumerate(sizes)) + END

    def owned(entry: TarEntry) -> TarEntry:
        entry.set_owner(1, 2)
        return entry
    result = rewrite(tar, owned)
    assert [(entry.uid, entry.gid, len(content)) for entry, content in entries(result)] == [(1, 2, size)
                                                                                            for size in sizes]
    rewritten = RewrittenTar(ByteStream(io.BytesIO(tar)), [owned])
    assert all(len(chunk) for chunk in rewritten.chunks())


# Paths that layers have and delete

def test_long_paths_are_kept_as_digests() -> None:
    assert path_key(b'p' * 64) == b'p' * 64
    key = path_key(b'p' * 65)
    assert key.startswith(b'/') and len(key) < 64 and key != path_key(b'p' * 66) and key == path_key(b'p' * 65)
    assert list(path_keys(b'a/b/c')) == [b'a/b', b'a', b''] and list(path_keys(b'a')) == [b'']
    assert list(path_keys(b'')) == []


def effects(*paths: tuple[bytes, bool]) -> LayerEffects:
    made = LayerEffects(NameMemory().share())
    for path, is_directory in paths:
        made.add(path, is_directory)
    return made


@pytest.mark.parametrize(('paths', 'lower', 'effect'), [
    ([(b'a', False)], b'a', SHADOWED), ([(b'a', True)], b'a', SHADOWED), ([(b'a', True)], b'a/b', ''),
    ([(b'a', False)], b'a/b', DELETED),
    ([(b'a', False)], b'a/b/c', DELETED), ([(b'.wh.a', False)], b'a', DELETED), ([(b'.wh.a', False)], b'a/b', DELETED),
    ([(b'.wh.a', False)], b'ab', ''), ([(b'd/.wh..wh..opq', False)], b'd', ''), ([(b'd/.wh..wh..opq', False)], b'd/a',
                                                                                 DELETED),
    ([(b'd/.wh..wh..opq', False), (b'd/a', False)], b'd/a', SHADOWED), ([(b'.wh..wh..opq', False)], b'a', DELETED),
    ([(b'.wh..wh.plnk', False)], b'plnk', ''), ([(b'.wh.', False)], b'a', ''), ([], b'a', '')])
def test_effects_on_lower_layers(paths: list[tuple[bytes, bool]], lower: bytes, effect: str) -> None:
    assert effects(*paths).on(lower) == effect
    assert effects(*paths).on(lower) == effect


def test_effects_are_those_of_all_entries_so_far() -> None:
    made = effects((b'x', False))
    assert [made.on(b'a/b/c'), made.on(b'a/b/d')] == ['', '']
    made.add(b'a/.wh.b', False)
    assert [made.on(b'a/b/c'), made.on(b'a/b'), made.on(b'a')] == [DELETED, DELETED, '']
    made.add(b'a', False)
    assert [made.on(b'a'), made.on(b'a/z')] == [SHADOWED, DELETED]


def test_names_that_are_kept_take_memory() -> None:
    taken: list[int] = []

    class Counting:
        def take(self, count: int) -> None:
            taken.append(count)
    made = LayerEffects(Counting())  # type: ignore[arg-type]
    for path in (b'abc', b'.wh.ab', b'.wh..wh.plnk', b'p' * 65):
        made.add(path, False)
    assert taken == [3 + COST, 2 + COST, 25 + COST]


def test_many_directories_are_looked_up_with_bounded_memory() -> None:
    made = effects((b'.wh.gone', False))
    for number in range(5000):
        assert made.on(b'%d/a' % number) == '' and made.on(b'gone/%d/a' % number) == DELETED
    assert len(made._above) <= 4096 + 4


@pytest.mark.parametrize('name', [b'\x80', b'\x7f', b'\x7f\x80\xff', b'\x7f' * 60 + b'\x80' * 30])
@pytest.mark.parametrize('end', [b'\0 ', b'\0\x80', b'\0\x7f', b'\0\xff'])
def test_checksums_of_signed_and_unsigned_bytes(name: bytes, end: bytes) -> None:
    block = header(name)
    others = block[:148] + block[156:]
    unsigned = sum(others) + 8 * 32
    for total in (unsigned, unsigned - 256 * sum(byte > 127 for byte in others)):
        checked = header(name, checksum=b'%06o' % total + end)
        assert [entry.name for entry, _ in entries(checked + END)] == [name]
    for total in (unsigned - 1, unsigned + 1, unsigned - 256 * len(others)):
        if total > 0:
            refused(header(name, checksum=b'%06o' % total + end) + END, 'checksum')


def test_names_of_what_is_left_out_take_memory_until_it_is_closed() -> None:
    taken: list[int] = []

    class Counting:
        def take(self, count: int) -> None:
            taken.append(count)

        def close(self) -> None:
            taken.append(-1)
    left = LeftOut(None, Counting())  # type: ignore[arg-type]
    left.add(parsed(header(b'abc', 1)), b'')
    left.add(parsed(header(b'd', kind=b'5')), b'')
    left.add(parsed(header(b'l', kind=b'1', linkname=b'elsewhere')), b'')
    left.close()
    assert taken == [3 + COST + 24, 1 + COST + 24, -1]


def test_a_longer_target_with_the_same_beginning_is_a_change() -> None:
    entry = parsed(header(b'a', kind=b'2', linkname=b't' * 100))
    entry.set_linkname(b't' * 101)
    assert entry.changed and TarEntry.parse(entry.raw).linkname == b't' * 101


def test_every_place_of_an_old_map_counts() -> None:
    pieces = [(1, 2), (4, 1), (100, 3), (2000, 4)]
    tar = sparse(pieces, 2004) + b'aabcccdddd'.ljust(512, b'\0') + END
    (_, content), = entries(tar)
    expected = bytearray(2004)
    for (offset, length), letter in zip(pieces, b'abcd', strict=True):
        expected[offset:offset + length] = bytes([letter]) * length
    assert content == expected
    large = b'\x80' + (100).to_bytes(11, 'big')
    other = sparse([], 101, size=b'%011o\0' % 1, sparse=large + b'00000000001\0')
    (_, content), = entries(other + b'y'.ljust(512, b'\0') + END)
    assert content == bytes(100) + b'y'
    zero = sparse([], 1, size=b'%011o\0' % 1, sparse=b'\x80' + bytes(11) + b'00000000001\0')
    assert entries(zero + b'y'.ljust(512, b'\0') + END)[0][1] == b'y'
    nothing = sparse([], 5, sparse=b'00000000005\0' + bytes(12))  # an offset without a length
    assert entries(nothing + END)[0][1] == bytes(5)


def test_buffered_data_is_used_before_another_chunk() -> None:
    reader = reader_of(header(b'a', 5), b'12345')
    next(reader.entries())
    assert reader.peek(5) == b'12345'


def test_many_small_pieces_are_combined() -> None:
    content = bytes(range(1, 252)) * 10_000

    def owned(entry: TarEntry) -> TarEntry:
        entry.set_owner(1, 2)
        return entry
    tar = member(b'a', content) + END
    (entry, found), = entries(rewrite(tar, owned, most=1000))
    assert found == content and entry.uid == 1


def test_large_sizes_of_old_sparse_files() -> None:
    reader = reader_of(sparse([(0, 1)], 0, real_size=b'17777777777\0') + b'y'.ljust(512, b'\0') + END)
    next(reader.entries())
    assert reader.sparse() == SparseContent([(0, 1)], 0o17777777777)


@pytest.mark.parametrize('pair', [(-1, 1), (0, -1), (-1, 0)])
def test_negative_numbers_of_maps_are_refused(pair: tuple[int, int]) -> None:
    text = b''.join(base256(number) if number < 0 else b'%011o\0' % number for number in pair)
    with pytest.raises(InvalidImage, match='overlap or lie outside'):
        entries(sparse([], 8, sparse=text) + END)


def test_data_that_end_with_the_chunk_are_in_one_piece() -> None:
    reader = reader_of(header(b'a', 5), b'12345')
    next(reader.entries())
    assert bytes(reader.whole() or b'') == b'12345'


def test_a_tar_that_ends_after_an_extended_header_is_refused() -> None:
    refused(member(b'a') + pax((b'path', b'p')), 'ends after an extended header without its entry')
    refused(member(b'a') + pax((b'path', b'p')) + gnu_long(b'n'), 'ends after an extended header without its entry')


@pytest.mark.parametrize('most', [512, 1 << 20])
def test_owners_of_sparse_files_with_further_headers_are_changed_in_place(most: int) -> None:
    pieces = [(place * 10, 1) for place in range(30)]
    blocks = further(*pieces[4:25], more=True) + further(*pieces[25:])
    tar = sparse(pieces[:4], 300, size=b'%011o\0' % 30,
                 is_extended=b'\1') + blocks + b'y' * 30 + bytes(482) + member(b'b') + END

    def owned(entry: TarEntry) -> TarEntry:
        entry.set_owner(1, 2)
        return entry
    result = rewrite(tar, owned, most=most)
    (first, content), (second, _) = entries(result)
    assert len(result) == len(tar) and content == (b'y' + bytes(9)) * 30 and (first.uid, second.uid) == (1, 1)
    assert result[512:512 * 3] == blocks
