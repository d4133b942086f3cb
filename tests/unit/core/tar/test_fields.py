"""Where the fields of a header lie, and how wide they are (POSIX.1-2017 pax, GNU tar manual, star(5))."""
import re

import pytest

from occystrap_core import InvalidImage
from occystrap_core.tar import header as fields
from occystrap_core.tar.archive import TAR_END, file_header, padded_size
from occystrap_core.tar.entry import TarEntry
from tests.unit.core.tar.raw import FIELDS, GNU, USTAR, V7, base256, header, pax

FULL = {'mode': b'17777771', 'uid': b'17777772', 'gid': b'17777773', 'size': b'000000000014', 'mtime': b'100000000015',
        'linkname': b'l' * 100, 'uname': b'u' * 32, 'gname': b'g' * 32, 'major': b'17777774', 'minor': b'17777775',
        'prefix': b'p' * 155}
"""Every field is full to its last byte: one that is read from a byte too early or too far has another value."""


def entry_of(block: bytes) -> TarEntry:
    fields.check(block)
    return TarEntry.parse(block)


def put(block: bytes, **values: bytes) -> bytes:
    """Return a header with fields replaced, sealed again."""
    changed = bytearray(block)
    for field, value in values.items():
        place, width = FIELDS[field]
        assert len(value) == width
        changed[place:place + width] = value
    fields.seal(changed)
    return bytes(changed)


def changed_fields(before: bytes, after: bytes) -> dict[str, bytes]:
    """Return the bytes that differ, field by field, without the checksum; fails if there are others."""
    places = {name: FIELDS[name] for name in ('mode', 'uid', 'gid', 'size', 'mtime', 'checksum', 'type', 'linkname',
                                              'magic', 'uname', 'gname')}
    found = {}
    for name, (place, width) in places.items():
        if before[place:place + width] != after[place:place + width]:
            found[name] = after[place:place + width]
            before = before[:place] + after[place:place + width] + before[place + width:]
    assert before == after
    found.pop('checksum', None)
    return found


def test_fields_that_are_full_to_the_last_byte() -> None:
    entry = entry_of(header(b'n' * 100, kind=b'0', **FULL))
    assert entry.name == b'p' * 155 + b'/' + b'n' * 100 and entry.linkname == b'l' * 100
    assert (entry.mode, entry.uid, entry.gid) == (0o17777771, 0o17777772, 0o17777773)
    assert (entry.size, entry.mtime_ns) == (0o14, 0o100000000015 * 10 ** 9)
    assert entry.attributes == (0o17777771, 0o17777772, 0o17777773, 0o100000000015 * 10 ** 9)
    assert entry.device == (0o17777774, 0o17777775) and entry.given_size == 0o14


@pytest.mark.parametrize('field', ['mode', 'uid', 'gid', 'mtime'])
@pytest.mark.parametrize('end', [b'\0', b' '])
def test_numbers_in_the_usual_form(field: str, end: bytes) -> None:
    place, width = FIELDS[field]
    block = put(header(b'a', mode=b'0000000' + end, uid=b'0000000' + end, gid=b'0000000' + end,
                       mtime=b'00000000000' + end), **{field: b'0' * (width - 3) + b'12' + end})
    expected = [0o12 * (10 ** 9 if name == 'mtime' else 1) * (name == field) for name in ('mode', 'uid', 'gid',
                                                                                          'mtime')]
    assert list(entry_of(block).attributes) == expected


@pytest.mark.parametrize('field', ['mode', 'uid', 'gid', 'mtime'])
def test_one_number_in_base_256_beside_octal_ones(field: str) -> None:
    place, width = FIELDS[field]
    block = put(header(b'a', mtime=bytes(12)), **{field: base256(9, width)})
    usual = {'mode': 0o644, 'uid': 0, 'gid': 0, 'mtime': 0, field: 9 * (10 ** 9 if field == 'mtime' else 1)}
    assert entry_of(block).attributes == tuple(usual.values())


@pytest.mark.parametrize('field', ['mode', 'uid', 'gid', 'mtime'])
def test_a_malformed_number_names_its_field(field: str) -> None:
    place, width = FIELDS[field]
    with pytest.raises(InvalidImage, match=f'malformed {field}'):
        entry_of(put(header(b'a'), **{field: b'8' * width})).attributes  # noqa: B018


def test_an_owner_is_written_into_its_fields_alone() -> None:
    block = header(b'n' * 100, **FULL)
    entry = entry_of(block)
    entry.set_owner(0o1234567, 8 ** 7)
    assert entry.changed and changed_fields(block, entry.raw) == {
        'uid': b'1234567\0', 'gid': b'\x80\0\0\0\0\x20\0\0', 'uname': bytes(32), 'gname': bytes(32)}
    fields.check(entry.raw)


def test_a_time_is_written_into_its_field_alone() -> None:
    block = header(b'n' * 100, **FULL)
    entry = entry_of(block)
    entry.set_times(8)
    assert changed_fields(block, entry.raw) == {'mtime': b'00000000010\0'}
    same = entry_of(header(b'a', mtime=b'         10 '))
    same.set_times(8)
    assert not same.changed  # the value is what counts, not its form


@pytest.mark.parametrize('other', [b'\0' * 12, b' ' * 12, b'00000000017 '])
@pytest.mark.parametrize('which', ['gnu_atime', 'gnu_ctime'])
def test_further_times_of_gnu_are_set_where_there_are_any(which: str, other: bytes) -> None:
    both = {'gnu_atime': other, 'gnu_ctime': other, which: b'00000000011\0'}
    block = put(header(b'a', magic=GNU, mtime=b'00000000010\0'), **both)
    entry = entry_of(block)
    entry.set_times(8)
    after = entry.raw
    for name, before in both.items():
        place, width = FIELDS[name]
        assert after[place:place + width] == (b'00000000010\0' if before.strip(b'\0 ') else before)
    assert after[:148] == block[:148] and after[369:] == block[369:] and entry.name == b'a'


@pytest.mark.parametrize(('magic', 'trailer', 'is_star'), [
    (USTAR, b'tar\0', True), (USTAR, b'tar ', False), (GNU, b'tar\0', False), (V7, b'tar\0', False),
    (USTAR[:6] + b'xx', b'tar\0', True)])
def test_star_has_a_shorter_prefix_and_times_behind_it(magic: bytes, trailer: bytes, is_star: bool) -> None:
    block = put(header(b'n', magic=magic), prefix=b'p' * 131 + b'00000000011 ' * 2, trailer=trailer)
    entry = entry_of(block)
    entry.set_times(8)
    after = entry.raw
    if is_star:
        assert entry.name == b'p' * 131 + b'/n' and after[476:500] == b'00000000010\0' * 2
    else:
        assert after[345:] == block[345:]
    assert after[345:476] == b'p' * 131 and after[500:] == block[500:]


@pytest.mark.parametrize('magic', [b'ustar\0' + b'00', b'ustar\0' + b'xx'])
def test_a_prefix_needs_no_version(magic: bytes) -> None:
    assert entry_of(header(b'n', magic=magic, prefix=b'p' * 155)).name == b'p' * 155 + b'/n'


@pytest.mark.parametrize('magic', [b'ustar 00', b'ustax\0' + b'00', b'ustar' + b'\1' * 3])
def test_another_magic_has_no_prefix(magic: bytes) -> None:
    assert entry_of(header(b'n', magic=magic, prefix=b'p' * 155)).name == b'n'


def test_gnus_magic_has_a_prefix_only_where_there_are_no_times() -> None:
    assert entry_of(header(b'n', magic=GNU, prefix=b'p' * 155)).name == b'p' * 155 + b'/n'
    assert entry_of(header(b'n', magic=GNU, prefix=b'\xff' + b'p' * 154)).name == b'n'
    times = b'00000000011\0' * 2
    assert entry_of(header(b'n', magic=GNU, prefix=times + b'p' * 131)).name == b'n'
    assert entry_of(header(b'n', magic=GNU, prefix=times[:12] + b'p' * 143)).name == b'00000000011/n'


def test_devices_need_the_magic_of_either_kind() -> None:
    numbers = {'major': b'17777774', 'minor': b'17777775'}
    assert entry_of(header(b'a', kind=b'3', magic=b'ustarxyz', **numbers)).device == (0o17777774, 0o17777775)
    assert entry_of(header(b'a', kind=b'3', magic=b'usta\0xyz', **numbers)).device == (0, 0)


@pytest.mark.parametrize(('length', 'is_short'), [(1, True), (99, True), (100, True), (101, False)])
def test_a_target_of_a_link_lies_in_the_header_up_to_its_width(length: int, is_short: bool) -> None:
    block = header(b'n' * 100, kind=b'2', **FULL)
    entry = entry_of(block)
    entry.set_linkname(b't' * length)
    assert entry.linkname == b't' * length and entry.is_bare is is_short and entry.changed
    assert changed_fields(block, entry.raw[-512:]) == {'linkname': b't' * min(length, 100) + bytes(100 - min(length,
                                                                                                             100))}
    assert TarEntry.parse(entry.raw).linkname == b't' * length


def test_a_target_that_is_the_same_changes_nothing() -> None:
    block = header(b'n', kind=b'2', linkname=b'target')
    entry = entry_of(block)
    entry.set_linkname(b'target')
    assert not entry.changed and entry.raw == block


def test_a_link_becomes_a_copy_of_its_file_under_its_own_name() -> None:
    sparse = put(header(b'file', kind=b'S', magic=GNU, size=b'00000000004\0', mode=b'0000600\0'),
                 sparse=b'12345670' * 12, is_extended=b'\1', real_size=b'12345670' + b'1234')
    block = header(b'link', kind=b'1', magic=GNU, linkname=b'file', mode=b'0000755\0', uid=b'0000007\0')
    link = entry_of(block)
    link.become(entry_of(sparse))
    after = link.raw
    assert after[386:495] == sparse[386:495] and after[:124] == block[:124] and after[345:386] == bytes(41)
    assert after[495:] == bytes(17) and after[124:136] == b'00000000004\0' and after[156:157] == b'S'
    assert (link.name, link.linkname, link.type, link.size) == (b'link', b'', b'S', 4) and link.changed


def test_a_link_takes_the_records_of_its_file_but_not_its_name_owner_and_times() -> None:
    file = TarEntry.parse(pax((b'path', b'f'), (b'uid', b'1'), (b'mtime', b'5'), (b'atime', b'5'), (b'size', b'3'),
                              (b'LIBARCHIVE.creationtime', b'5'), (b'SCHILY.xattr.user.a', b'v'), (b'comment', b'c'))
                          + header(b'file', 3))
    link = TarEntry.parse(pax((b'path', b'l'), (b'comment', b'mine')) + header(b'link', kind=b'1', linkname=b'f'))
    link.become(file)
    assert link.records == [(b'path', b'l'), (b'comment', b'mine'), (b'size', b'3'), (b'SCHILY.xattr.user.a', b'v')]
    assert (link.name, link.size, link.type) == (b'l', 3, b'0')


def test_a_link_to_a_sparse_file_of_pax_keeps_its_own_name() -> None:
    records = ((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'), (b'GNU.sparse.name', b'f'),
               (b'GNU.sparse.realsize', b'0'))
    link = TarEntry.parse(header(b'link', kind=b'1', linkname=b'f'))
    link.become(TarEntry.parse(pax(*records) + header(b'GNUSparseFile.0/f', 512)))
    assert link.name == b'link' and link.is_pax_sparse and dict(link.records)[b'GNU.sparse.name'] == b'link'


@pytest.mark.parametrize(('value', 'text'), [
    (0, b'0000000\0'), (8 ** 7 - 1, b'7777777\0'), (8 ** 7, b'\x80\0\0\0\0\x20\0\0'), (2 ** 40, b'\x80\0\1\0\0\0\0\0')])
def test_numbers_too_large_for_octal_are_in_base_256(value: int, text: bytes) -> None:
    assert fields.write_number(value, 8) == text and fields.read_number(text, 'uid') == value


def test_the_header_of_an_archives_file() -> None:
    assert file_header('n' * 100, 8 ** 11 - 1) == header(b'n' * 100, magic=GNU, size=b'7' * 11 + b'\0',
                                                         mtime=b'0' * 11 + b'\0')
    large = file_header('grüße', 8 ** 11)
    assert large[124:136] == b'\x80\0\0\0\0\0\0\2\0\0\0\0' and large[:7] == 'grüße'.encode()
    assert fields.check(large) is None
    long = TarEntry.parse(file_header('n' * 101, 5))
    assert long.records == [(b'path', b'n' * 101)] and (long.name, long.size) == (b'n' * 101, 5)
    assert long.header == file_header('n' * 100, 5) and len(long.raw) == 3 * 512
    assert bytes(1024) == TAR_END
    assert [padded_size(size) for size in (0, 1, 511, 512, 513, 1024)] == [0, 512, 512, 512, 1024, 1024]


def test_the_extended_header_that_is_written() -> None:
    made = fields.extended_header(b'00000001000\0', 9)
    assert made == header(b'PaxHeaders/0', 9, b'x')


@pytest.mark.parametrize(('size', 'is_right'), [(0, True), ((1 << 62) - 1, True), (1 << 62, False), (-1, False)])
def test_sizes_up_to_the_limit(size: int, is_right: bool) -> None:
    if is_right:
        assert fields.checked_size(size) == size
    else:
        with pytest.raises(InvalidImage, match=re.escape(f'claims to have {size} bytes')):
            fields.checked_size(size)


def test_limits_have_the_values_that_are_documented() -> None:
    assert (fields.EXTENDED_CAP, fields.EXTENDED_COUNT, fields.RECORD_COUNT) == (1048576, 16, 65536)
    assert (fields.NAME_CAP, fields.SIZE_CAP, fields.BLOCK) == (4095, 4611686018427387904, 512)
    assert fields.write_octal(fields.OCTAL_LIMIT - 1, 12) == b'77777777777\0'
    assert len(fields.write_octal(fields.OCTAL_LIMIT, 12)) == 13


def test_the_record_of_a_long_name_has_no_time() -> None:
    assert file_header('n' * 101, 0)[136:148] == b'00000000000\0'
    assert [len(file_header('n' * length, 0)) for length in (100, 101, 494, 495, 600)] == [512, 1536, 1536, 1536, 2048]
