"""Entries of layers become files: what is made, what is replaced, what is refused, and what the list has of them."""
import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from occystrap_core import InvalidImage, OutputError
from occystrap_core.oci import Digest
from occystrap_dir.extraction.attributes import Attributes, Setter
from occystrap_dir.extraction.attributes import Cover
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.extraction.unpacked_tree import Limits
from occystrap_dir.mounts.overlay_marks import OverlayMarks
from occystrap_dir.workspace.root import Root
from tests.unit.core.tar.raw import GNU, header, pax, sparse
from tests.unit.dir.extraction.unpacked import (
    OPTIONS, by_path, differences, directory, file, other, stream_of, unpack, unpack_counted, unpacking_in,
)

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason='only root can make devices and give files away')
OWNED = b' uid=0 gid=0' if ROOT else b''
X = hashlib.sha256(b'x').hexdigest().encode()
NOTHING = hashlib.sha256(b'').hexdigest().encode()


def listed(listing: bytes) -> list[bytes]:
    """Return the lines of a list without those of its head."""
    return [line for line in listing.splitlines() if not line.startswith(b'#')]


def test_each_kind_of_entry_has_its_line(tmp_path: Path) -> None:
    entries = [directory(b'd', mtime=b'00000000007\0'), file(b'd/f', mode=b'0000640\0'), other(b'link', b'2',
                                                                                               linkname=b'd/f'),
               other(b'hard', b'1', linkname=b'd/f'), other(b'pipe', b'6', mode=b'0000600\0'), file(b'made/up', b''),
               file(b'contiguous', kind=b'7')]
    root, listing, limits = unpack_counted(tmp_path, entries)
    lines = listed(listing)
    time = b' time=512.000000000'
    inode = lines[7].rpartition(b'inode=')[2]
    assert lines == [
        b'. type=dir mode=0755%s time=0.000000000' % OWNED,
        b'./contiguous type=file mode=0644%s%s size=1 sha256digest=%s' % (OWNED, time, X),
        b'./d type=dir mode=0755%s time=7.000000000' % OWNED,
        b'./hard type=file mode=0640%s%s size=1 sha256digest=%s nlink=2 inode=%s' % (OWNED, time, X, inode),
        b'./link type=link link=d/f%s%s' % (OWNED, time),
        b'./made type=dir mode=0755%s time=0.000000000' % OWNED,
        b'./pipe type=fifo mode=0600%s%s' % (OWNED, time),
        b'./d/f type=file mode=0640%s%s size=1 sha256digest=%s nlink=2 inode=%s' % (OWNED, time, X, inode),
        b'./made/up type=file mode=0644%s%s size=0 sha256digest=%s' % (OWNED, time, NOTHING),
    ]
    assert os.path.samefile(root / 'hard', root / 'd/f') and stat.S_ISFIFO((root / 'pipe').stat().st_mode)
    assert os.readlink(root / 'link') == 'd/f' and (root / 'd').stat().st_mtime == 7
    assert limits.notes == [] or not ROOT


@as_root
@pytest.mark.parametrize(('kind', 'word', 'is_kind'), [(b'3', 'char', stat.S_ISCHR), (b'4', 'block', stat.S_ISBLK)])
@pytest.mark.parametrize('numbers', [(0, 0), (1, 3), (4095, 0), (0, (1 << 20) - 1), (4095, 1 << 19)])
def test_devices(kind: bytes, word: str, is_kind: object, numbers: tuple[int, int], tmp_path: Path,
                 monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []

    def mknod(name: bytes, mode: int, device: int, *, dir_fd: int) -> None:
        made.append((mode, device))
        os.mkfifo(name, 0o600, dir_fd=dir_fd)  # not every container may make devices
    monkeypatch.setattr(os, 'mknod', mknod)
    fields = dict(zip(('major', 'minor'), (b'%07o\0' % number for number in numbers), strict=True))
    _, lines = unpack(tmp_path, [other(b'a', kind, **fields)])
    mode, device = made[0]
    assert (os.major(device), os.minor(device)) == numbers and is_kind(mode)  # type: ignore[operator]
    assert (lines[1].kind, lines[1].device, lines[1].mode) == (word, numbers, 0o644)


@pytest.mark.parametrize('numbers', [(b'0010000\0', b'0000000\0'), (b'0000000\0', b'4000000\0'),
                                     (b'\xff' * 8, b'0000001\0'),
                                     (b'0000001\0', b'\xff' * 8)])
def test_devices_with_numbers_that_linux_does_not_have_are_refused(numbers: tuple[bytes, bytes],
                                                                   tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='a is a device with numbers out of range'):
        unpack(tmp_path, [other(b'a', b'3', major=numbers[0], minor=numbers[1])])


@pytest.mark.parametrize('count', [1, 2])
def test_a_device_that_may_not_be_made_is_an_empty_file(count: int, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    def mknod(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, 'Operation not permitted')
    monkeypatch.setattr(os, 'mknod', mknod)
    entries = [other(b'%d' % number, b'3', mode=b'0000600\0') for number in range(count)]
    root, listing, limits = unpack_counted(tmp_path, entries)
    assert (root / '0').read_bytes() == b'' and stat.S_ISREG((root / '0').stat().st_mode)
    assert listed(listing)[1].startswith(b'./0 type=file mode=0600') and b'size=0' in listed(listing)[1]
    assert limits.setter.missed['device'] == count
    assert limits.notes[0].startswith(f'{count} device{"s" * (count > 1)} could not be set without root')


KINDS = {
    'file': [file(b'p', b'content')], 'directory': [directory(b'p'), file(b'p/in')],
    'deep': [directory(b'p'), directory(b'p/q'), file(b'p/q/r'), other(b'p/l', b'2', linkname=b'q')],
    'link': [other(b'p', b'2', linkname=b'other')], 'pipe': [other(b'p', b'6')],
    'hard link': [file(b'other'), other(b'p', b'1', linkname=b'other')]}


@pytest.mark.parametrize('second', [name for name in KINDS if name != 'deep'])
@pytest.mark.parametrize('first', KINDS)
@pytest.mark.parametrize('layers', [1, 2])
def test_whatever_is_in_the_way_is_replaced(first: str, second: str, layers: int, tmp_path: Path) -> None:
    entries = [KINDS[first], KINDS[second]]
    root, lines = unpack(tmp_path, *(entries if layers == 2 else [[*entries[0], *entries[1]]]))
    found = by_path(lines)
    assert not differences(root, lines, full=True)
    assert found['p'].kind == {'directory': 'dir', 'link': 'link', 'pipe': 'fifo'}.get(second, 'file')
    kept = {'in'} if second == 'directory' else set()
    if first == 'deep' and second == 'directory':
        kept |= {'q', 'l'}
    assert {path.rpartition('/')[2] for path in found if path.startswith('p/') and path.count('/') == 1} == kept
    assert not (root / 'other').exists() or 'hard link' in (first, second)


REFUSED: dict[str, tuple[Sequence[bytes], str]] = {
    'another type': ([other(b'a', b'9')], "a is of type '9', which cannot be unpacked"),
    'no target': ([other(b'a', b'2')], 'a is a symlink with an empty target'),
    '..': ([file(b'a/../b')], r'a/../b has \.\., which no path in an image may have'),
    'leading ..': ([file(b'../b')], r'\.\./b has \.\.'),
    'no directory at the root': ([file(b'./')], 'the root of the image is not a directory'),
    'a link at the root': ([other(b'.', b'2', linkname=b'x')], 'the root of the image is not a directory'),
    'a whiteout of nothing': ([file(b'd/.wh.')], 'd/.wh. is a whiteout with an empty or invalid target name'),
    'a whiteout of .': ([file(b'.wh..')], 'is a whiteout with an empty or invalid target name'),
    'an owner': ([file(b'a', uid=b'\x80\0\0\1\0\0\0\5')], 'a has an owner out of range: 4294967301:0'),
    'a file as a directory': ([file(b'a'), file(b'a/b')], 'a/b: a is not a directory'),
    'a long name': ([file(b'd/' + b'n' * 50), pax((b'path', b'd/' + b'n' * 256)) + file(b'a')], 'more than 255 bytes'),
    'a link to ..': ([other(b'a', b'1', linkname=b'../b')], r'a is a hard link to ../b, which has \.\.'),
    'a link to no name': ([other(b'a', b'1')], "a is a hard link to '', which does not exist"),
    'a link to nothing': ([other(b'a', b'1', linkname=b'b')], 'a is a hard link to b, which does not exist'),
    'a link to a directory': ([directory(b'b'), other(b'a', b'1', linkname=b'b')],
                              'a is a hard link to b, which is a directory'),
    'a link in place of its target': ([directory(b'a'), file(b'a/b'), other(b'a', b'1', linkname=b'a/b')],
                                      'a is a hard link to a/b, which is in it'),
    'a zero byte': ([pax((b'GNU.sparse.major', b'0'), (b'GNU.sparse.minor', b'1'), (b'GNU.sparse.map', b'0,1'),
                         (b'GNU.sparse.numblocks', b'1'), (b'GNU.sparse.size', b'1'), (b'GNU.sparse.name', b'a\0b'))
                     + file(b'a')], 'a name has a zero byte'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_entries_that_cannot_be_unpacked_are_refused_by_path(what: str, tmp_path: Path) -> None:
    entries, message = REFUSED[what]
    with pytest.raises(InvalidImage, match=message):
        unpack(tmp_path, entries)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', [b'.wh..wh.plnk', b'.wh..wh.orph', b'd/.wh..wh.aufs', b'.wh..wh.plnk/1',
                                  b'd/.wh..wh.x/y/z'])
def test_metadata_of_aufs_is_skipped(name: bytes, tmp_path: Path) -> None:
    root, lines = unpack(tmp_path, [directory(b'd'), file(name), file(b'after')])
    assert set(by_path(lines)) == {'', 'd', 'after'} and not differences(root, lines)


@pytest.mark.parametrize(('name', 'content', 'is_directory'), [
    (b'd/', b'', True), (b'd', b'', False), (b'd/', b'x', False)])
def test_a_name_with_a_slash_and_no_content_is_a_directory_of_old_tars(name: bytes, content: bytes, is_directory: bool,
                                                                       tmp_path: Path) -> None:
    root, lines = unpack(tmp_path, [file(name, content)])
    assert (root / 'd').is_dir() is is_directory and by_path(lines)['d'].kind == ('dir' if is_directory else 'file')


def test_the_root_has_the_attributes_of_its_entry(tmp_path: Path) -> None:
    for name, kind in ((b'./', b'5'), (b'.', b'5'), (b'/', b'0')):
        place = tmp_path / kind.decode() / str(len(name))
        place.mkdir(parents=True)
        root, lines = unpack(place, [other(name, kind, mode=b'0000711\0', mtime=b'00000000005\0')])
        assert (lines[0].mode, lines[0].time) == (0o711, 5 * 10 ** 9)
        assert stat.S_IMODE(root.stat().st_mode) == 0o711 and root.stat().st_mtime == 5


@pytest.mark.parametrize(('marks', 'left'), [
    ([file(b'd/.wh.a', b'')], {'d/b', 'd/s', 'd/s/x'}), ([file(b'd/.wh.s', b'')], {'d/a', 'd/b'}),
    ([file(b'd/.wh..wh..opq', b'')], set()), ([file(b'd/.wh..wh..opq', b''), file(b'd/new')], {'d/new'}),
    ([file(b'd/new'), file(b'd/.wh..wh..opq', b'')], {'d/new'}), ([file(b'd/a'), file(b'd/.wh.a', b'')],
                                                                  {'d/a', 'd/b', 'd/s', 'd/s/x'}),
    ([file(b'd/s/new'), file(b'd/.wh.s', b'')], {'d/a', 'd/b', 'd/s', 'd/s/new'}),
    ([file(b'none/.wh.a', b''), file(b'd/.wh.none', b'')], {'d/a', 'd/b', 'd/s', 'd/s/x'}),
    ([file(b'none/.wh..wh..opq', b'')], {'d/a', 'd/b', 'd/s', 'd/s/x'}),
])
def test_whiteouts_remove_what_layers_below_have(marks: Sequence[bytes], left: set[str], tmp_path: Path) -> None:
    below = [directory(b'd'), file(b'd/a'), file(b'd/b'), directory(b'd/s'), file(b'd/s/x')]
    root, lines = unpack(tmp_path, below, marks)
    assert {os.fsdecode(line.path) for line in lines} == left | {'', 'd'} and not differences(root, lines)


def test_a_directory_that_stays_for_what_is_in_it_is_as_new(tmp_path: Path) -> None:
    below = [directory(b'd'), directory(b'd/s', mode=b'0000700\0'), file(b'd/s/x')]
    _, lines = unpack(tmp_path, below, [file(b'd/s/new'), file(b'd/.wh.s', b'')])
    found = by_path(lines)['d/s']
    assert (found.mode, found.time) == (0o755, 0)


def test_a_hard_link_before_its_target(tmp_path: Path) -> None:
    entries = [other(b'a', b'1', linkname=b'b'), other(b'b', b'1', linkname=b'd/c'), file(b'd/c', b'content'),
               other(b'gone', b'1', linkname=b'never'), file(b'gone', b'mine'), other(b'd/c', b'1', linkname=b'd/c')]
    root, lines = unpack(tmp_path, entries)
    assert os.path.samefile(root / 'a', root / 'd/c') and os.path.samefile(root / 'b', root / 'd/c')
    assert (root / 'gone').read_bytes() == b'mine' and by_path(lines)['a'].names == 3 and not differences(root, lines)


def test_a_hard_link_again_to_something_else(tmp_path: Path) -> None:
    entries = [file(b'one', b'1'), other(b'l', b'1', linkname=b'late'), other(b'l', b'1', linkname=b'one')]
    root, lines = unpack(tmp_path, entries)
    assert os.path.samefile(root / 'l', root / 'one') and not differences(root, lines)


def test_hard_links_of_a_layer_do_not_wait_for_the_next(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='which does not exist'):
        unpack(tmp_path, [other(b'a', b'1', linkname=b'b')], [file(b'b')])


def test_names_of_waiting_hard_links_are_counted(tmp_path: Path) -> None:
    links = [other(b'%d' % number, b'1', linkname=b't' * 90)
             for number in range(9)]  # 9 names, and 9 times 1 + 90 bytes
    entries = [*links, file(b't' * 90)]
    unpack(tmp_path / '.', entries, max_names=9 + 90 + 9 * 91)
    with pytest.raises(InvalidImage, match='the names in the image take more than'):
        unpack(tmp_path, entries, max_names=9 + 90 + 9 * 91 - 1)


LIMITED = [directory(b'd'), file(b'd/a', b'12345'), file(b'e/b', b'6')]


@pytest.mark.parametrize(('option', 'least', 'message'), [
    ('max_entries', 4, 'the image has more than 3 entries: .*max_entries='),  # with e, which has no entry
    ('max_unpacked', 5 * 512 + 2 * 512, 'the image unpacks to more than 3583 bytes: .*max_unpacked='),
    ('max_names', 4, 'the names in the image take more than 3 bytes of memory: .*max_names=')])
def test_limits_are_exact(option: str, least: int, message: str, tmp_path: Path) -> None:
    unpack(tmp_path, LIMITED, **{option: least})
    with pytest.raises(InvalidImage, match=message):
        unpack(tmp_path, LIMITED, **{option: least - 1})


def test_holes_of_sparse_files_count_as_bytes(tmp_path: Path) -> None:
    entries = [sparse([(512, 4)], 10_000) + b'data'.ljust(512, b'\0')]
    root, lines = unpack(tmp_path, entries, max_unpacked=2 * 512 + 1024 + 9_996)
    content = (root / 'a').read_bytes()
    assert content == (bytes(512) + b'data').ljust(10_000, b'\0')
    assert (lines[1].size, lines[1].digest) == (10_000, hashlib.sha256(content).hexdigest())
    with pytest.raises(InvalidImage, match='unpacks to more than'):
        unpack(tmp_path, entries, max_unpacked=2 * 512 + 1024 + 9_995)


class Watching(Setter):
    """Records the modes that files and directories have before their own are set."""

    def __init__(self) -> None:
        super().__init__(rootless=False)
        self.modes: list[int] = []

    def file(self, descriptor: int, attributes: Attributes) -> bytes:
        self.modes.append(os.fstat(descriptor).st_mode)
        return super().file(descriptor, attributes)

    def directory(self, descriptor: int, attributes: Attributes) -> bytes:
        self.modes.append(os.fstat(descriptor).st_mode)
        return super().directory(descriptor, attributes)

    def named(self, name: bytes, directory: int, attributes: Attributes, is_link: bool) -> bytes:
        self.modes.append(os.lstat(name, dir_fd=directory).st_mode)
        return super().named(name, directory, attributes, is_link)


def test_other_users_cannot_open_incomplete_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, 'mknod', lambda name, mode, *_, **__: modes.append(mode) or os.mkfifo(name, 0o600, **__))
    unpacking = unpacking_in(tmp_path)
    setter = unpacking._limits.setter = Watching()
    unpacking.begin()
    umask = os.umask(0)
    try:
        unpacking.add(stream_of(directory(b'd'), file(b'd/f'), file(b'p'), other(b'p', b'6'), other(b'c', b'3'),
                                file(b'again'), file(b'again'), other(b'f2', b'5'), file(b'f2'), directory(b'f2')))
    finally:
        os.umask(umask)
        unpacking.abort()
    masks = {stat.S_IFDIR: 0o700, stat.S_IFREG: 0o600, stat.S_IFIFO: 0o600}
    assert {(stat.S_IFMT(mode), stat.S_IMODE(mode)) for mode in setter.modes} == set(masks.items())
    assert modes == [stat.S_IFCHR | 0o600]


def test_everything_is_closed(tmp_path: Path) -> None:
    before = len(os.listdir('/proc/self/fd'))
    unpack(tmp_path, [directory(b'd'), file(b'd/f'), other(b'd/p', b'6')])
    with pytest.raises(InvalidImage):
        unpack(tmp_path, [file(b'../a')])
    assert len(os.listdir('/proc/self/fd')) == before


def test_a_layer_that_is_made_not_read(tmp_path: Path) -> None:
    at = Attributes(0o750, os.geteuid(), os.getegid(), 3 * 10 ** 9)
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    unpacking.add(stream_of(directory(b'd'), file(b'd/hidden'), file(b'd/x')))
    unpacking.tree.layer = 1  # else the layer would hide what it brought itself
    unpacking.put_cover([], Cover([(b'd', at), (b'd/e', at)], [(b'd/l', b'target', at)], [b'd/hidden']))
    lines: list[bytes] = []
    unpacking.finish(lines.append)
    unpacking.staging.commit()
    unpacking.abort()
    root = tmp_path / 'tree'
    assert {str(path.relative_to(root)) for path in root.rglob('*')} == {'d', 'd/e', 'd/l', 'd/x'}
    assert stat.S_IMODE((root / 'd/e').stat().st_mode) == 0o750 and os.readlink(root / 'd/l') == 'target'
    assert b'./d/e type=dir mode=0750' in b''.join(lines)


def test_entries_of_a_made_layer_count(tmp_path: Path) -> None:
    at = Attributes(0o750, os.geteuid(), os.getegid(), 0)
    for most, fails in ((2, False), (1, True)):
        unpacking = unpacking_in(tmp_path, Limits({**OPTIONS, 'max_entries': most}))
        unpacking.begin()
        try:
            if fails:
                with pytest.raises(InvalidImage, match='more than 1 entries'):
                    unpacking.put_cover([], Cover([(b'd', at), (b'e', at)], [], []))
            else:
                unpacking.put_cover([], Cover([(b'd', at)], [], []))
        finally:
            unpacking.abort()
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_image_and_layers(tmp_path: Path) -> None:
    layers = [[file(b'a')], [file(b'b')]]
    _, listing, _ = unpack_counted(tmp_path, *layers, image_id=Digest.of(b'config'))
    heads = [line for line in listing.splitlines() if line.startswith(b'#')]
    assert heads[2] == b'#image ' + Digest.of(b'config').encode()
    expected = [stream_of(*entries) for entries in layers]
    for stream in expected:
        stream.drain()
    assert heads[3:5] == [b'#layer %s %d' % (stream.digest.encode(), stream.size) for stream in expected]


def test_an_error_of_the_system_names_the_path_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.symlink

    def symlink(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, 'Input/output error', 'b')
    monkeypatch.setattr(os, 'symlink', symlink)
    with pytest.raises(OutputError,
                       match="cannot write to dir://out: .*Input/output error.*d/b|d/b.*Input/output error"):
        unpack(tmp_path, [other(b'd/b', b'2', linkname=b'x')])
    monkeypatch.setattr(os, 'symlink', real)


def test_times_of_directories_are_those_of_their_entries(tmp_path: Path) -> None:
    root, lines = unpack(tmp_path, [directory(b'd', mtime=b'00000000012\0', mode=b'0000500\0'), file(b'd/f'),
                                    file(b'e/g')])
    assert (root / 'd').stat().st_mtime == 10 and (root / 'e').stat().st_mtime == 0
    assert stat.S_IMODE((root / 'd').stat().st_mode) == 0o500 and stat.S_IMODE((root / 'e').stat().st_mode) == 0o755
    assert not differences(root, lines, full=True)


def test_a_tree_is_a_keeper_of_what_its_layer_brought(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    unpacking.add(stream_of(directory(b'd'), file(b'd/f')))
    tree: Tree = unpacking.tree
    assert tree.is_own(b'd/f') and tree.is_whole(b'd') and not tree.is_own(b'none')
    tree.layer = 1
    assert not tree.is_own(b'd/f') and not tree.is_whole(b'd')
    tree.set_whole(b'd')
    assert tree.is_whole(b'd') and isinstance(tree.root, Root)
    tree.gone(b'd/f')
    assert tree.record.layer(b'd/f') is None
    unpacking.abort()


def test_gnu_sparse_and_plain_headers_may_alternate(tmp_path: Path) -> None:
    entries = [sparse([(0, 3)], 3) + b'abc'.ljust(512, b'\0'), header(b'b', 0, magic=GNU), file(b'c', b'y' * 600_000)]
    root, lines = unpack(tmp_path, entries)
    assert (root / 'a').read_bytes() == b'abc' and (root / 'b').read_bytes() == b''
    assert by_path(lines)['c'].digest == hashlib.sha256(b'y' * 600_000).hexdigest()
    assert not differences(root, lines, full=True)


def test_a_hard_link_to_a_symlink_is_another_name_of_the_symlink(tmp_path: Path) -> None:
    entries = [file(b'target'), other(b'link', b'2', linkname=b'target'), other(b'hard', b'1', linkname=b'link')]
    root, lines = unpack(tmp_path, entries)
    assert (root / 'hard').is_symlink() and os.readlink(root / 'hard') == 'target'
    assert (root / 'hard').lstat().st_ino == (root / 'link').lstat().st_ino and not differences(root, lines)


@pytest.mark.parametrize('kind', [b'3', b'4'])
def test_a_device_that_overlayfs_takes_for_a_whiteout_is_refused(kind: bytes, tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path, marks=lambda tree: OverlayMarks(tree, True, lambda length: None))
    unpacking.begin()
    try:
        with pytest.raises(InvalidImage, match='^d/gone is a device 0, 0, which overlayfs takes for a whiteout'):
            unpacking.add(stream_of(other(b'd/gone', kind)))
    finally:
        unpacking.abort()


def test_the_root_is_private_until_it_is_complete(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    umask = os.umask(0)
    try:
        unpacking.begin('rootfs')
    finally:
        os.umask(umask)
    root = Path(unpacking.staging.inside.path) / 'rootfs'
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    unpacking.abort()


@pytest.mark.parametrize(('name', 'shown'), [(b'./', '/'), (b'd/', 'd')])
def test_an_attribute_that_is_refused_names_its_directory(name: bytes, shown: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EINVAL, 'Invalid argument')
    monkeypatch.setattr(os, 'setxattr', refuse)
    with pytest.raises(InvalidImage, match=f"^{shown} has the attribute 'user.a', which no such file can have"):
        unpack(tmp_path, [pax((b'SCHILY.xattr.user.a', b'x')) + directory(name)])
