"""HOSTILE 13-14: devices, pipes, setuid, extended attributes; what an ordinary user gets instead, and the messages."""
import struct
import tarfile

import pytest

from tests.hostile.extraction.ground import Extraction, Ground
from tests.hostile.extraction.stacks import Entry, device, directory, fifo, file, hardlink, symlink, with_xattrs

CAPABILITY = struct.pack('<IIIII', 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service=ep, version 2: linux/capability.h"""


def notes_of(done: Extraction) -> list[str]:
    """Return the lines on standard error about what could not be set."""
    done.result.assert_success()
    return [line for line in done.result.err.splitlines() if not line.startswith('Summary: ')]


def xattrs(done: Extraction, path: str) -> dict[str, bytes]:
    """Return a path's extended attributes."""
    return dict(done.tree[path].xattrs)


DEVICES = (device('null', 1, 3, mode=0o666), device('dev/sda', 8, 1, tarfile.BLKTYPE, mode=0o660, gid=6),
           device('high', 4095, 1048575), fifo('pipe', mode=0o620), hardlink('null2', 'null'))


def test_devices_are_made_by_root(roots_ground: Ground) -> None:
    tree = roots_ground.extract(DEVICES).tree
    paths = ('null', 'dev/sda', 'high', 'pipe')
    assert {path: (tree[path].kind, tree[path].device, tree[path].mode) for path in paths} == {
        'null': ('char', (1, 3), 0o666), 'dev/sda': ('block', (8, 1), 0o660), 'high': ('char', (4095, 1048575), 0o644),
        'pipe': ('fifo', (0, 0), 0o620)}
    assert tree['dev/sda'].owner == (0, 6) and tree['null'].same == ('null', 'null2')


def test_an_ordinary_user_gets_empty_files_for_devices_and_one_line(ordinary_ground: Ground) -> None:
    done = ordinary_ground.extract(DEVICES)
    nodes = [done.tree[path] for path in ('null', 'dev/sda', 'high')]
    assert {(node.kind, node.size) for node in nodes} == {('file', 0)}
    assert [node.mode for node in nodes] == [0o666, 0o660, 0o644]
    assert done.tree['null'].same == ('null', 'null2') and done.tree['pipe'].kind == 'fifo'
    assert sum('device' in line for line in notes_of(done)) == 1


def test_an_ordinary_user_gets_one_line_for_each_kind_of_loss(ordinary_ground: Ground) -> None:
    many = tuple(file(f'f{number}', uid=number, gid=number) for number in range(50))
    pax = with_xattrs(security__capability=CAPABILITY)
    done = ordinary_ground.extract((*many, *DEVICES, file('ping', b'ping', pax=pax)), many)
    lines = notes_of(done)
    assert len(lines) == 1, lines
    assert 'owner' in lines[0] and 'device' in lines[0] and 'attribute' in lines[0]


def test_nothing_is_printed_if_nothing_is_lost(ground: Ground) -> None:
    own = ground.user.id
    assert not notes_of(ground.extract((file('f', b'f', uid=own, gid=own), directory('d', uid=own, gid=own))))


NUMBERS: dict[str, dict[str, bytes]] = {
    'major too large for Linux': {'major': b'0010000\0'}, 'minor too large for Linux': {'minor': b'4000000\0'},
    'huge': {'major': b'\x80\0\0\x01\0\0\0\0'}, 'negative': {'minor': b'\xff' * 8},
    'no number': {'major': b'twelve\0\0'},
}


@pytest.mark.parametrize('case', NUMBERS)
def test_device_numbers_out_of_range_are_refused(ground: Ground, case: str) -> None:
    ground.extract((file('f'), Entry('dev/odd', tarfile.CHRTYPE, fields=NUMBERS[case]))).refused()


def test_setuid_setgid_and_sticky_are_kept(ground: Ground) -> None:
    done = ground.extract((file('su', b'x', mode=0o4755, uid=1, gid=2), file('sg', b'x', mode=0o2711, uid=3, gid=4),
                           file('all', b'x', mode=0o7777, uid=5), directory('tmp', 0o1777),
                           directory('shared', 0o2775, gid=9),
                           hardlink('su2', 'su', mode=0o4755, uid=1, gid=2), file('none', mode=0)))
    modes = {path: oct(done.tree[path].mode) for path in ('su', 'sg', 'all', 'tmp', 'shared', 'su2', 'none')}
    assert modes == {'su': '0o4755', 'sg': '0o2711', 'all': '0o7777', 'tmp': '0o1777', 'shared': '0o2775',
                     'su2': '0o4755', 'none': oct(ground.least_of_files)}


def test_modes_do_not_depend_on_the_umask_or_on_directories_with_setgid(ground: Ground) -> None:
    done = ground.extract((directory('shared', 0o2777, gid=9), file('shared/f', mode=0o666),
                           directory('shared/d', 0o777), file('shared/made/f', mode=0o777)))
    assert [done.tree[f'shared/{name}'].mode for name in ('f', 'd', 'made', 'made/f')] == [0o666, 0o777, 0o755, 0o777]
    if ground.user.is_root:
        assert {done.tree[f'shared/{name}'].owner for name in ('f', 'd', 'made', 'made/f')} == {(0, 0)}


def test_large_owners(roots_ground: Ground) -> None:
    done = roots_ground.extract((file('f', uid=2097152, gid=4294967294), symlink('l', 'f', uid=70000, gid=70001),
                                 file('p', pax={'uid': b'3000000', 'gid': b'3000001'})))
    assert [done.tree[path].owner for path in 'flp'] == [(2097152, 4294967294), (70000, 70001), (3000000, 3000001)]


@pytest.mark.parametrize('fields', [
    {'uid': b'\x80' + b'\xff' * 7}, {'gid': b'\xff' + b'\0' * 7}, {'uid': b'root\0\0\0\0'},
], ids=['huge', 'below 32 bits', 'no number'])
def test_owners_out_of_range_are_refused(ground: Ground, fields: dict[str, bytes]) -> None:
    ground.extract((Entry('f', fields=fields),)).refused()


BINARY = bytes(range(256)) + b'=\n\0'


def test_extended_attributes_are_kept_byte_for_byte(ground: Ground) -> None:
    pax = with_xattrs(user__binary=BINARY, user__empty=b'')
    done = ground.extract((file('f', b'f', pax=pax), directory('d', pax=pax), file('low', pax=pax)), (file('low'),))
    assert xattrs(done, 'f') == xattrs(done, 'd') == {'user.binary': BINARY, 'user.empty': b''}
    assert not xattrs(done, 'low')


def test_capabilities_survive_the_owner(roots_ground: Ground) -> None:
    pax = with_xattrs(security__capability=CAPABILITY, trusted__own=b'1', user__own=b'2')
    links = (symlink('link', 'ping', pax=with_xattrs(trusted__own=b'3')), hardlink('ping2', 'ping'))
    done = roots_ground.extract((file('ping', b'ping', mode=0o4755, uid=1000, gid=1000, pax=pax), *links))
    assert xattrs(done, 'ping') == {'security.capability': CAPABILITY, 'trusted.own': b'1', 'user.own': b'2'}
    assert xattrs(done, 'link') == {'trusted.own': b'3'} and done.tree['ping'].mode == 0o4755


@pytest.mark.parametrize('name', ['trusted.overlay.opaque', 'trusted.overlay.redirect', 'trusted.overlay.metacopy'])
def test_marks_of_overlay_file_systems_are_never_taken_from_a_layer(ground: Ground, name: str) -> None:
    pax = {f'SCHILY.xattr.{name}': b'y', 'SCHILY.xattr.user.kept': b'1'}
    done = ground.extract((directory('d'), file('d/f', b'kept')), (directory('d', pax=pax), file('g', pax=pax)))
    assert xattrs(done, 'd') == xattrs(done, 'g') == {'user.kept': b'1'}
    assert done.content('d/f') == b'kept'


@pytest.mark.parametrize('name', ['unknown.name', 'user.' + 'n' * 300, 'user.', 'nonsense'])
def test_attributes_that_no_file_can_have_do_not_end_in_a_traceback(roots_ground: Ground, name: str) -> None:
    done = roots_ground.extract((file('f', b'f', pax={f'SCHILY.xattr.{name}': b'1'}),))
    if done.result.code:
        done.refused('f')
    else:
        assert done.content('f') == b'f' and len(notes_of(done)) <= 1


def protobuf(uid: int, gid: int) -> bytes:
    """Return the message of rootlesscontainers.proto: two varints, fields 1 and 2."""
    def varint(value: int) -> bytes:
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])
    return b''.join(tag + varint(value) for tag, value in ((b'\x08', uid), (b'\x10', gid)) if value)


def test_rootless_keeps_owners_in_an_attribute(ordinary_ground: Ground) -> None:
    parts = (file('f', b'f', uid=1000, gid=70000), directory('d', uid=1, gid=0), file('g', uid=0, gid=5), file('root'))
    done = ordinary_ground.extract(parts, options='rootless=true')
    found = {path: xattrs(done, path).get('user.rootlesscontainers') for path in ('f', 'd', 'g')}
    assert found == {'f': protobuf(1000, 70000), 'd': protobuf(1, 0), 'g': protobuf(0, 5)}
    assert not any('owner' in line for line in notes_of(done))
    assert xattrs(done, 'root') in ({}, {'user.rootlesscontainers': b''})


def test_a_layers_own_rootless_attribute_does_not_pass_for_ours(ordinary_ground: Ground) -> None:
    pax = {'SCHILY.xattr.user.rootlesscontainers': protobuf(0, 1)}
    done = ordinary_ground.extract((file('f', b'f', uid=1000, gid=1000, pax=pax),), options='rootless=true')
    assert xattrs(done, 'f') == {'user.rootlesscontainers': protobuf(1000, 1000)}
