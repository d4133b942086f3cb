"""Owners, modes, times and extended attributes: what headers say, what is set, what is said of what could not be."""
import errno
import os
import struct
import tarfile
from pathlib import Path

import pytest

from occystrap_core import InvalidImage, OutputError
from occystrap_core.tar import TarEntry
from occystrap_dir.extraction.attributes import Attributes, Setter, owner_message
from occystrap_dir.extraction.checked_entry import AttributeRefused
from occystrap_dir.file_list.acl import ACCESS, DEFAULT, Acl, canonical, stored_value
from occystrap_dir.file_list.mtree import Line, line, xattr_keywords


@pytest.mark.parametrize(('uid', 'gid', 'message'), [
    (0, 0, b''), (1, 2, b'\x08\x01\x10\x02'), (127, 0, b'\x08\x7f'), (128, 0, b'\x08\x80\x01'),
    (0, 300, b'\x10\xac\x02'), (100_000, 0, b'\x08\xa0\x8d\x06')])
def test_owners_as_rootlesscontainers_has_them(uid: int, gid: int, message: bytes) -> None:
    assert owner_message(uid, gid) == message


@pytest.mark.parametrize(('code', 'kind'), [
    (errno.EINVAL, InvalidImage), (errno.ERANGE, InvalidImage), (errno.EACCES, InvalidImage),
    (errno.ENOSPC, AttributeRefused), (errno.EDQUOT, AttributeRefused), (errno.E2BIG, AttributeRefused),
    (errno.EIO, AttributeRefused)])
def test_errors_for_refused_attributes(code: int, kind: type[Exception]) -> None:
    refused = AttributeRefused(b'user.x', 3, OSError(code, os.strerror(code)))
    error = refused.at('etc/passwd')
    assert type(error) is kind and 'etc/passwd' in str(error) and "'user.x'" in str(error)
    below = refused.below('dir://out')
    assert type(below) is OutputError and str(below).startswith('cannot write to dir://out: a file: its attribute ')
    assert ('free some space' in str(below)) is (code in (errno.ENOSPC, errno.EDQUOT, errno.E2BIG))


@pytest.mark.parametrize(('uid', 'gid', 'is_right'), [
    (0, 0, True), (0xfffffffe, 0xfffffffe, True), (1 << 32, 0, False), (0, 1 << 32, False),
    (-(1 << 31) - 1, 0, False)])
def test_an_owner_out_of_range_is_refused(uid: int, gid: int, is_right: bool) -> None:
    header = tarfile.TarInfo('a')
    header.uid, header.gid, header.mode, header.mtime = uid, gid, 0o104755, 3
    entry = TarEntry.parse(header.tobuf(tarfile.GNU_FORMAT))
    if is_right:
        assert Attributes.of(entry) == Attributes(0o4755, uid, gid, 3 * 10 ** 9)
        return
    with pytest.raises(InvalidImage, match=f'a has an owner out of range: {uid}:{gid}'):
        Attributes.of(entry)


@pytest.mark.parametrize(('given', 'expected'), [
    (-2, 0xfffffffe), (-(1 << 31), 1 << 31), (-1, 0), (0xffffffff, 0)])
@pytest.mark.parametrize('form', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_owners_are_those_that_docker_and_umoci_give(given: int, expected: int, form: int) -> None:
    header = tarfile.TarInfo('a')
    if form == tarfile.GNU_FORMAT:
        header.uid = header.gid = given
        entry = TarEntry.parse(header.tobuf(form))
    else:
        entry = TarEntry(header.tobuf(form), [(bytes(156) + b'x' + bytes(355), records(uid=given, gid=given))])
    assert Attributes.of(entry)[1:3] == (expected, expected)


def records(**values: int) -> bytes:
    lines = [f' {key}={value}\n' for key, value in values.items()]
    return ''.join(f'{len(line) + 2}{line}' for line in lines).encode()


def test_extended_attributes_but_not_those_of_overlayfs() -> None:
    header = tarfile.TarInfo('a')
    header.pax_headers = {f'SCHILY.xattr.{name}': 'x' for name in (
        'user.mine', 'trusted.overlay.opaque', 'user.overlay.whiteout')}
    entry = TarEntry.parse(header.tobuf(tarfile.PAX_FORMAT))
    assert Attributes.of(entry).xattrs == {b'user.mine': b'x'}


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER, NOBODY = 1, 2, 4, 8, 16, 32, 0xffffffff
PLAIN = (OWNER, 7, NOBODY), (GROUP_OWNER, 5, NOBODY), (OTHER, 4, NOBODY)


@pytest.mark.parametrize('value', [b'', b'\2\0\0', b'\3\0\0\0', b'\2\0\0\0' + bytes(7), b'\2\0\0\0' + bytes(9)])
def test_values_that_are_not_access_lists(value: bytes) -> None:
    assert Acl.parse(value) is None
    assert canonical(ACCESS, value) == stored_value(ACCESS, value, 0o644) == value


def test_lists_are_sorted_and_nameless_entries_have_no_owner() -> None:
    assert Acl.parse(acl()) == Acl(())
    found = Acl.parse(acl((OTHER, 4, 9), (GROUP, 1, 7), (USER, 6, 5), (OWNER, 7, 3)))
    assert found and found.entries == ((OWNER, 7, NOBODY), (USER, 6, 5), (GROUP, 1, 7), (OTHER, 4, NOBODY))
    assert canonical(DEFAULT, acl(*reversed(found.entries))) == found.value == acl(*found.entries)
    assert canonical(b'user.x', b'anything') == b'anything'


def test_access_lists_as_the_kernel_stores_them() -> None:
    assert stored_value(ACCESS, acl(), 0o644) is None and stored_value(DEFAULT, acl(), 0o644) is None
    assert stored_value(ACCESS, acl(*PLAIN), 0o644) is None and stored_value(DEFAULT, acl(*PLAIN), 0o644) == acl(*PLAIN)
    more = acl(PLAIN[0], (USER, 6, 5), PLAIN[1], (MASK, 7, NOBODY), PLAIN[2])
    assert stored_value(ACCESS, more, 0o641) == acl((OWNER, 6, NOBODY), (USER, 6, 5), PLAIN[1], (MASK, 4, NOBODY),
                                                    (OTHER, 1, NOBODY))
    assert stored_value(DEFAULT, more, 0o641) == more
    without = acl(PLAIN[0], (USER, 6, 5), PLAIN[1], PLAIN[2])
    assert stored_value(ACCESS, without, 0o621) == acl((OWNER, 6, NOBODY), (USER, 6, 5), (GROUP_OWNER, 2, NOBODY),
                                                       (OTHER, 1, NOBODY))


def test_notes_count_what_could_not_be_set() -> None:
    setter = Setter(rootless=True)
    assert setter.notes == [] and setter.no_owner == (0, 0)
    assert Setter(rootless=False).no_owner == (os.geteuid(), os.getegid())
    setter.missed['owner'], setter.missed['mode'], setter.clamped = 1, 2, 1
    setter.not_held['nobody can'] = 2
    assert setter.notes == ['2 modes and 1 owner could not be set without root',
                            '2 extended attributes left out: nobody can',
                            '1 time that the file system cannot store, set to the nearest possible']
    setter.clamped = 2
    assert setter.notes[-1].startswith('2 times that')


@pytest.mark.parametrize(('mtime', 'keyword'), [
    (0, b'time=0.000000000'), (1_500_000_001, b'time=1.500000001'), (-1, b'time=-1.999999999')])
def test_a_file_gets_the_attributes_of_its_header(mtime: int, keyword: bytes, tmp_path: Path) -> None:
    (tmp_path / 'a').touch()
    descriptor = os.open(tmp_path / 'a', os.O_RDWR)
    try:
        set_keywords = Setter(rootless=False).file(descriptor, Attributes(0o640, os.geteuid(), os.getegid(), mtime))
    finally:
        os.close(descriptor)
    found = (tmp_path / 'a').stat()
    assert found.st_mtime_ns == mtime and found.st_mode & 0o7777 == 0o640
    assert set_keywords.startswith(b'mode=0640') and keyword in set_keywords


def test_a_directory_stays_readable_for_an_ordinary_user(tmp_path: Path) -> None:
    setter = Setter(rootless=True)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert setter.directory(descriptor, Attributes(0o055, 0, 0, 0)) == b'mode=0755 time=0.000000000'
        assert setter.directory(descriptor, Attributes(0o755, 0, 0, 0)) == b'mode=0755 time=0.000000000'
    finally:
        os.close(descriptor)
    assert setter.missed == {'mode': 1}


def test_a_line_has_all_keywords_that_were_written() -> None:
    keywords = (b'type=char device=native,10,229 mode=0640 uid=1 gid=2 time=-1.000000005%s nlink=2 inode=7'
                % xattr_keywords({b'user.b c': b'\0', b'user.a': b'x'}))
    found = Line.parse(line(b'dev/a b\\\n', keywords))
    assert found == Line(b'dev/a b\\\n', 'char', 0o640, 1, 2, None, -10 ** 9 + 5, '', b'', (10, 229), 2, '7',
                         {b'user.a': b'x', b'user.b c': b'\0'})
    assert Line.parse(line(b'', b'type=dir')) == Line(b'', 'dir')


@pytest.mark.parametrize('raw', [b'./a mode=0640\n', b'./a type=file mode=8\n', b'./a type=file xattr.user.a=*\n',
                                 b'./a type=char device=1,2\n', b'./a type=file time=1\n', b'\n',
                                 b'./a type=file mode=0640 mode=0600\n', b'./a type=file mode=0640 optional\n'])
def test_a_malformed_line_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidImage, match='malformed line'):
        Line.parse(raw)


@pytest.mark.parametrize('is_root', [True, False])
def test_a_directory_without_an_entry_is_root_s_and_of_1970(is_root: bool, tmp_path: Path) -> None:
    if is_root and os.geteuid():
        pytest.skip('owners are for root to set')
    setter = Setter(rootless=not is_root)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert setter.implicit_directory(descriptor) == b'mode=0755%s time=0.000000000' % (b' uid=0 gid=0' * is_root)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize('bit', range(12))
def test_every_bit_of_a_mode_counts_with_and_without_extended_attributes(bit: int) -> None:
    for xattrs in ({}, {'SCHILY.xattr.user.a': 'x'}):
        header = tarfile.TarInfo('a')
        header.mode, header.pax_headers = 0o100000 | 1 << bit, xattrs
        assert Attributes.of(TarEntry.parse(header.tobuf(tarfile.PAX_FORMAT))).mode == 1 << bit
