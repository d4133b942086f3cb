"""What headers say, read as Go's archive/tar reads it, which Docker, containerd, skopeo and umoci are built on."""
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from occystrap_core.errors import InvalidImage
from occystrap_core.files.stream import ByteStream
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.header import EXTENDED_CAP, EXTENDED_COUNT, NAME_CAP, RECORD_COUNT
from occystrap_core.tar.reader import TarReader
from occystrap_core.tar.rewriter import RewrittenTar
from tests.unit.core.image.sources import Pieces
from tests.unit.core.tar.raw import END, GNU, USTAR, V7, base256, gnu_long, header, member, pax, record, sparse
from tests.unit.core.tar.test_reader import dribbled
from tests.unit.core.tar.test_rewriter import rewrite, timeless, unchanged


def entries(tar: bytes, most: int = 1 << 19) -> list[tuple[TarEntry, bytes]]:
    """Return the entries with their content, holes filled, as a program that unpacks them gets them."""
    reader, found = TarReader(dribbled(tar, most)), []
    for entry in reader.entries():
        content = reader.sparse()
        found.append((entry, b''.join(map(bytes, content.whole(reader.data()) if content else reader.data()))))
    return found


def names(tar: bytes) -> list[bytes]:
    """Return the names, the same whether the tar is read or rewritten, in large chunks or small ones."""
    read = [entry.name for entry, _ in entries(tar)]
    seen: list[bytes] = []
    assert rewrite(tar, lambda entry: entry if entry.type == b'g' else seen.append(entry.name) or entry) == tar
    assert read == seen == [entry.name for entry, _ in entries(tar, 100)]
    return read


def only(tar: bytes) -> TarEntry:
    """Return the one entry of a tar."""
    (entry, _), = entries(tar + END)
    return entry


P = b'p' * 131
NAMES: dict[str, tuple[bytes, list[bytes]]] = {
    'prefix of ustar': (member(b'a', prefix=b'b/c'), [b'b/c/a']),
    'prefix of star': (member(b'a', star_prefix=P, atime=b'00000001000 ', ctime=b'00000001000 ', trailer=b'tar\0'),
                       [P + b'/a']),
    'no prefix in V7': (member(b'a', magic=V7, prefix=b'junk'), [b'a']),
    'no prefix under a magic that is not whole': (member(b'a', magic=b'ustar 00', prefix=b'junk'), [b'a']),
    "times in GNU's header": (member(b'a', magic=GNU, gnu_atime=b'00000001000\0'), [b'a']),
    "a prefix in GNU's header, as Go up to 1.7": (member(b'a', magic=GNU, prefix=b'some/prefix'), [b'some/prefix/a']),
    'GNU long name': (gnu_long(b'n' * 300) + member(b'a'), [b'n' * 300]),
    'GNU long name twice': (gnu_long(b'1' * 300) + gnu_long(b'2' * 300) + member(b'a'), [b'2' * 300]),
    'GNU long name before that of PAX': (gnu_long(b'n' * 200) + pax((b'path', b'p')) + member(b'a'), [b'n' * 200]),
    'GNU long name after that of PAX': (pax((b'path', b'p')) + gnu_long(b'n' * 200) + member(b'a'), [b'n' * 200]),
    'PAX path': (pax((b'path', b'p')) + member(b'a', prefix=b'b'), [b'p']),
    'PAX path twice': (pax((b'path', b'1'), (b'path', b'2')) + member(b'a'), [b'2']),
    'two PAX headers': (pax((b'path', b'1')) + pax((b'uid', b'7')) + member(b'a'), [b'a']),
    'PAX path taken back': (pax((b'path', b'1'), (b'path', b'')) + member(b'a'), [b'a']),
    'PAX path of one entry alone': (pax((b'path', b'1')) + member(b'a') + member(b'b'), [b'1', b'b']),
    'global PAX path': (pax((b'path', b'1'), kind=b'g') + member(b'a'), [b'a']),
    'global PAX size': (pax((b'size', b'512'), kind=b'g') + member(b'a') + member(b'b'), [b'a', b'b']),
    'names that are no UTF-8': (pax((b'hdrcharset', b'BINARY'), (b'path', b'\xff')) + member(b'a'), [b'\xff']),
    "a sparse file's own name": (
        pax((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'), (b'GNU.sparse.name', b'n'),
            (b'GNU.sparse.realsize', b'0')) + member(b'a', b'0\n'.ljust(512, b'\0')), [b'n']),
}


@pytest.mark.parametrize('what', NAMES)
def test_names(what: str) -> None:
    tar, expected = NAMES[what]
    assert names(tar + END) == expected


SIZES: dict[str, tuple[bytes, int]] = {
    'octal': (b'00000000003\0', 3), 'ended by a space': (b'00000000003 ', 3), 'not ended': (b'000000000003', 3),
    'led by spaces': (b'         3 \0', 3), 'led by a zero byte': (b'\x0000000000003', 3),
    'junk behind a zero byte': (b'0000003\0junk', 3), 'blank': (b' ' * 12, 0), 'zero bytes': (bytes(12), 0),
    'base 256': (base256(3), 3),
}


@pytest.mark.parametrize('what', SIZES)
def test_sizes(what: str) -> None:
    field, size = SIZES[what]
    (first, data), (second, _) = entries(member(b'a', b'x' * size, size=field) + member(b'b') + END)
    assert (data, second.name) == (b'x' * size, b'b')


@pytest.mark.parametrize('field', [
    b'10 junk'.ljust(12, b'\0'), b'0000003 \0jun', b'00000000008\0', b'0x000000003\0', b'0b00000001\0\0',
    b'-0000000001\0',
    b'+0000000001\0', b'0_0_0_0_0_3\0', b'eleventeen 1', base256(-512), base256(1 << 62), base256((1 << 87) - 1)])
def test_malformed_sizes_are_refused(field: bytes) -> None:
    refused(member(b'a', size=field) + member(b'b') + END, 'size|bytes')


def refused(tar: bytes, words: str = 'a tar') -> None:
    """Fail unless a tar is refused whether it is read or rewritten, in large chunks or small ones."""
    ways: list[Callable[[], object]] = [
        lambda: entries(tar), lambda: entries(tar, 100),
        lambda: rewrite(tar, unchanged), lambda: rewrite(tar, timeless)]
    for way in ways:
        with pytest.raises(InvalidImage, match=words):
            way()


@pytest.mark.parametrize('kind', [b'1', b'2', b'3', b'4', b'5', b'6'])
@pytest.mark.parametrize('field', [base256(-1), base256(-512), b'00000010000\0', base256(1 << 80)])
def test_the_size_of_what_has_no_data_does_not_matter(kind: bytes, field: bytes) -> None:
    assert names(header(b'd', kind=kind, size=field) + member(b'a') + END) == [b'd', b'a']


def test_the_pax_size_counts_and_an_empty_one_does_not() -> None:
    larger = pax((b'size', b'600')) + header(b'a', 5) + bytes(1024)
    assert names(larger + member(b'b') + END) == [b'a', b'b']
    assert names(pax((b'size', b'')) + member(b'a', b'12345') + member(b'b') + END) == [b'a', b'b']


@pytest.mark.parametrize('size', [b'-1', b'+5', b'5 ', b'0x5', b'5.0', b'9' * 60, b'\xb2', b'5\0'])
def test_a_malformed_pax_size_is_refused(size: bytes) -> None:
    refused(pax((b'size', size)) + member(b'a') + END, 'size|bytes')


def test_records_of_attributes_may_be_empty_others_take_themselves_back() -> None:
    entry = only(pax((b'uid', b''), (b'mtime', b''), (b'SCHILY.xattr.user.x', b'')) + member(b'a', uid=b'0000005\0'))
    assert (entry.attributes, entry.pax) == ((0o644, 5, 0, 512 * 10 ** 9), {b'SCHILY.xattr.user.x': b''})


@pytest.mark.parametrize('key', [b'uid', b'gid', b'mtime'])
@pytest.mark.parametrize('text', [b'junk', b'-', b'1e3', b'0x1', b'nan', b'5\0'])
def test_malformed_numbers_in_records_are_refused_when_they_are_used(key: bytes, text: bytes) -> None:
    with pytest.raises(InvalidImage, match='malformed'):
        only(pax((key, text)) + member(b'a')).attributes


def test_two_pax_headers_stay_two_until_records_change_and_then_the_last_counts() -> None:
    tar = pax((b'path', b'1'), (b'uid', b'9')) + pax((b'mtime', b'5.5')) + member(b'a') + END

    def owned(entry: TarEntry) -> TarEntry:
        entry.set_owner(3, 4)
        return entry
    (entry, _), = entries(rewrite(rewrite(tar, timeless), owned))
    assert (entry.name, entry.uid, entry.gid, entry.mtime) == (b'a', 3, 4, 1_000_000_000)


def test_times_that_star_and_gnu_have_beside_are_set_and_a_prefix_is_not() -> None:
    old, moment = b'00000001000 ', b'07346545000\0'
    star = rewrite(member(b'a', star_prefix=P, atime=old, ctime=old, trailer=b'tar\0') + END, timeless)
    assert star[476:500] == moment * 2 and names(star) == [P + b'/a']
    buggy = rewrite(member(b'a', magic=GNU, prefix=b'some/prefix') + END, timeless)
    assert names(buggy) == [b'some/prefix/a']


def test_devices_have_numbers_since_ustar() -> None:
    numbers = {'major': b'0000001\0', 'minor': b'0000003\0'}
    assert [only(header(b'a', kind=b'3', magic=magic, **numbers)).device for magic in (USTAR, GNU, V7)] == [
        (1, 3), (1, 3), (0, 0)]


def test_the_checksum_may_be_of_signed_bytes() -> None:
    block = header(b'\xff' * 5)
    signed = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 8 * 32
    assert names(header(b'\xff' * 5, checksum=b'%06o\0 ' % signed) + END) == [b'\xff' * 5]


@pytest.mark.parametrize('field', [b'000000\0 ', base256(sum(header(b'a')), 8), b'-1', b' ' * 8, b'0x12', b'777777\0 '])
def test_a_wrong_checksum_is_refused(field: bytes) -> None:
    refused(header(b'a', checksum=field) + END, 'checksum')


def test_every_flipped_bit_of_a_header_is_seen() -> None:
    block = header(b'a')
    for place in range(512 * 8):
        changed = bytearray(block + member(b'b') + END)
        changed[place // 8] ^= 1 << place % 8
        if 148 <= place // 8 < 156:  # here one value has several forms
            continue
        with pytest.raises(InvalidImage, match='checksum'):
            entries(bytes(changed))


MALFORMED = {
    'no number': b'x path=a\n', 'too long': b'99 path=a\n', 'too short': b'3 path=a\n', 'zero': b'0 path=a\n',
    'signed': b'+10 path=a\n', 'no key': b'6 =aa\n', 'no equals': b'8 pathy\n', 'no newline': b'10 path=ab',
    'cut': b'10 pa',
    'a number of a thousand digits': b'9' * 1000 + b' path=a\n', 'zero bytes behind': record(b'path', b'a') + bytes(3),
    'a zero byte in a path': record(b'path', b'a\0b'), 'a zero byte in a target': record(b'linkpath', b'a\0b'),
    'a zero byte in a key': record(b'pa\0th', b'a'),
}


@pytest.mark.parametrize('kind', [b'x', b'g'])
@pytest.mark.parametrize('what', MALFORMED)
def test_malformed_records_are_refused(what: str, kind: bytes) -> None:
    refused(member(b'PaxHeaders/0', MALFORMED[what], kind) + member(b'a') + END, 'PAX record')


LIMITS = {
    'a path': (pax((b'path', b'n' * (NAME_CAP + 1))), 'name of 4096 bytes'),
    'a target': (pax((b'linkpath', b'n' * (NAME_CAP + 1))), 'target of a link of 4096 bytes'),
    'a path of GNU': (gnu_long(b'n' * (NAME_CAP + 1)), 'name of 4096 bytes'),
    'a target of GNU': (gnu_long(b'n' * (NAME_CAP + 1), b'K'), 'target of a link of 4096 bytes'),
    'an extended header': (member(b'p', record(b'x', b'x' * EXTENDED_CAP), b'x'), 'extended header of'),
    'records': (pax(*((b'%d' % number, b'') for number in range(RECORD_COUNT + 1))), 'more than 65536 PAX records'),
    'extended headers': (pax((b'x', b'x')) * (EXTENDED_COUNT + 1), 'more than 16 extended headers'),
}


@pytest.mark.parametrize('what', LIMITS)
def test_values_beyond_the_limits_are_refused(what: str) -> None:
    before, words = LIMITS[what]
    refused(before + member(b'a') + END, words)


def test_an_extended_header_beyond_the_limit_is_refused_if_the_tar_comes_in_one_piece() -> None:
    tar = LIMITS['an extended header'][0] + member(b'a') + END
    with pytest.raises(InvalidImage, match='extended header of'):
        ByteStream(RewrittenTar(ByteStream(Pieces(tar)), [])).drain()


def test_values_at_the_limits_are_read() -> None:
    assert names(pax((b'path', b'n' * NAME_CAP)) + member(b'a') + END) == [b'n' * NAME_CAP]
    assert names(pax((b'x', b'x')) * EXTENDED_COUNT + member(b'a') + END) == [b'a']
    assert names(pax(*((b'%d' % number, b'') for number in range(RECORD_COUNT))) + member(b'a') + END) == [b'a']


def test_a_name_of_three_gigabytes_is_refused_before_it_is_read() -> None:
    tar = header(b'././@LongLink', 3 << 30, b'L', GNU)
    tracemalloc.start()
    with pytest.raises(InvalidImage, match='extended header of 3221225472 bytes'):
        entries(tar)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


ENDS: dict[str, tuple[bytes, list[bytes] | None]] = {
    'two blocks': (END, [b'a']), 'one block': (bytes(512), [b'a']), 'none': (b'', [b'a']),
    'two blocks and another tar': (END + member(b'b') + END, [b'a']),
    'two blocks and a part': (END + bytes(100), [b'a']),
    'one block and another entry': (bytes(512) + member(b'b') + END, None), 'one block and a part': (bytes(600), None),
    'one block and junk': (bytes(512) + b'junk' * 128, None), 'part of a block': (bytes(100), None),
    'junk between entries': (b'junk' * 128 + member(b'b') + END, None),
    'an extended header': (pax((b'path', b'p')) + END, None), 'an extended and a global header': (
        pax((b'path', b'p')) + pax((b'comment', b'c'), kind=b'g') + member(b'b') + END, None),
}


@pytest.mark.parametrize('what', ENDS)
def test_ends(what: str) -> None:
    end, expected = ENDS[what]
    if expected is None:
        refused(member(b'a') + end)
    else:
        assert names(member(b'a') + end) == expected


def in_data(text: bytes, data: bytes, **records: bytes) -> bytes:
    """Return a sparse file of GNU's format 1.0, whose map is this text."""
    fields = {'major': b'1', 'minor': b'0', 'realsize': b'20', **records}
    content = text.ljust((len(text) + 511) // 512 * 512, b'\0') + data
    return pax(*((b'GNU.sparse.' + key.encode(), text) for key, text in fields.items())) + member(b'a', content)


def in_record(text: bytes, count: bytes, **records: bytes) -> bytes:
    """Return a sparse file of GNU's format 0.1."""
    fields = {'map': text, 'numblocks': count, 'size': b'20', **records}
    return pax(*((b'GNU.sparse.' + key.encode(), text) for key, text in fields.items())) + member(b'a', b'12345678')


def in_records(*keys: bytes, count: bytes = b'2') -> bytes:
    """Return a sparse file of GNU's format 0.0."""
    numbers = (b'2', b'4', b'10', b'4')
    fields = [(b'GNU.sparse.' + key, number) for key, number in zip(keys, numbers, strict=False)]
    return pax((b'GNU.sparse.size', b'20'), (b'GNU.sparse.numblocks', count), *fields) + member(b'a', b'12345678')


WHOLE = b'\0\x001234\0\0\0\x005678' + bytes(6)
SPARSE = {
    'old': sparse([(2, 4), (10, 4)], 20) + b'12345678'.ljust(512, b'\0'),
    '1.0': in_data(b'2\n2\n4\n10\n4\n', b'12345678'), '0.1': in_record(b'2,4,10,4', b'2'),
    '0.0': in_records(b'offset', b'numbytes', b'offset', b'numbytes'),
    'empty pieces': in_data(b'4\n0\n0\n2\n4\n10\n4\n20\n0\n', b'12345678'),
}


@pytest.mark.parametrize('what', SPARSE)
def test_sparse_files(what: str) -> None:
    (_, content), (after, _) = entries(SPARSE[what] + member(b'b') + END)
    assert (content, after.name) == (WHOLE, b'b')


BAD_MAPS = {
    'overlapping': sparse([(2, 4), (4, 4)], 20), 'out of order': sparse([(10, 4), (2, 4)], 20),
    'beyond the size': sparse([(2, 4), (18, 4)], 20),
    'more data than the map': sparse([(2, 4)], 20, size=b'00000000010\0'),
    'negative': sparse([(2, 4)], 20, sparse=base256(-2) + b'00000000010\0'),
    'a negative size': sparse([(2, 4), (10, 4)], 20, real_size=base256(-1)),
    "not GNU's header": sparse([(2, 4), (10, 4)], 20, magic=USTAR),
    'overlapping, 0.1': in_record(b'2,4,4,4', b'2'), 'odd, 0.1': in_record(b'2,4,10', b'2'),
    'fewer than declared, 0.1': in_record(b'2,8', b'2'), 'gaps, 0.1': in_record(b'2,,10,8', b'2'),
    'signs, 0.1': in_record(b'2,4,+10,4', b'2'), 'of an unknown version': in_record(b'2,4,10,4', b'2', major=b'2'),
    'beyond the size, 1.0': in_data(b'2\n2\n4\n18\n4\n', b'12345678'), 'cut off, 1.0': in_data(b'2\n2\n4\n10\n', b''),
    'no number, 1.0': in_data(b'x\n', b''), 'endless line, 1.0': in_data(b'1' * 2000, b''),
    'negative, 1.0': in_data(b'1\n-2\n8\n', b'12345678'), 'absurd size, 1.0': in_data(b'0\n', b'', realsize=b'9' * 19),
    'lengths first, 0.0': in_records(b'numbytes', b'offset', b'numbytes', b'offset'),
    'two offsets, 0.0': in_records(b'offset', b'offset', b'numbytes', b'numbytes'),
    'fewer than declared, 0.0': in_records(b'offset', b'numbytes', b'offset', b'numbytes', count=b'3'),
    'of a directory': pax((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0')) + header(b'a', kind=b'5'),
    'of four billion pieces, 1.0': in_data(b'4294967296\n' + b'0\n' * (EXTENDED_CAP // 2), b''),
}


@pytest.mark.parametrize('what', BAD_MAPS)
def test_invalid_maps_are_refused(what: str) -> None:
    tar = BAD_MAPS[what] + (b'12345678'.ljust(512, b'\0') if what in list(BAD_MAPS)[:7] else b'')
    with pytest.raises(InvalidImage, match='sparse file|bytes|malformed'):
        entries(tar + member(b'b') + END)


def test_a_map_of_a_gigabyte_is_refused_before_it_is_read() -> None:
    fields = pax((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'), (b'GNU.sparse.realsize', b'9'))
    begun, chunk = fields + header(b'a', 1 << 30), memoryview(b'99999999\n' + b'0\n' * (1 << 16))
    given = []

    def chunks() -> Iterator[memoryview]:
        yield memoryview(begun)
        for number in range(1 << 9):
            given.append(number)
            yield chunk
    reader = TarReader(chunks())
    next(reader.entries())
    with pytest.raises(InvalidImage, match='map of more than'):
        reader.sparse()
    assert len(given) < 16
