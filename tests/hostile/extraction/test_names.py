"""HOSTILE 15: every way to write down a name, and sparse files: what comes out is byte for byte what was meant."""
import os
import tarfile

import pytest

from tests.hostile.extraction.ground import Extraction, Ground, everywhere
from tests.hostile.extraction.sparse import FORMATS, expanded
from tests.hostile.extraction.stacks import (
    GNU, Entry, Part, Raw, directory, extended, file, gnu_long, hardlink, symlink, whiteout,
)
from tests.hostile.extraction.trees import names

LONG = '/'.join(['a-directory-with-a-rather-long-name'] * 20) + '/' + 'f' * 255
NOT_UTF8 = b'latin1-\xe9\xff\x80'


def contents(done: Extraction, *paths: str | bytes) -> list[bytes]:
    """Return what these files hold."""
    with done.shown() as root:
        return [(root / os.fsdecode(path)).read_bytes() for path in paths]


def test_long_names(ground: Ground) -> None:
    longer = 'x' * 150 + '/' + 'y' * 200
    parts = (file(LONG, b'pax'), symlink('link', LONG), hardlink('hard', LONG), gnu_long(b'L', longer.encode()),
             file(longer[:100], b'gnu', fields={'magic': GNU}), gnu_long(b'K', longer.encode()),
             hardlink('gnu-hard', longer[:100]), gnu_long(b'K', b't' * 300), symlink('gnu-link', 't'),
             file('file', b'prefix', fields={'prefix': b'p' * 155}), file('n' * 100, b'hundred'))
    done = ground.extract(parts)
    assert contents(done, LONG, 'hard', longer, 'gnu-hard', f'{"p" * 155}/file', 'n' * 100) == [
        b'pax', b'pax', b'gnu', b'gnu', b'prefix', b'hundred']
    assert (done.tree['link'].target, done.tree['gnu-link'].target) == (LONG, 't' * 300)


def test_a_path_longer_than_the_kernel_takes_at_once(ground: Ground) -> None:
    path = '/'.join(['d' * 200] * 30) + '/f'
    ground.extract((file(path, b'deep'), hardlink('h', path)), (whiteout('d' * 200),)).refused('4095')


@pytest.mark.parametrize('depth', [1500, 20_000])
def test_deep_directories_come_and_go(ground: Ground, depth: int) -> None:
    done = ground.extract((file('a/' * depth + 'f', b'deep'),), (whiteout('a'), file('g')))
    if done.result.code:
        done.refused()
    else:
        assert names(done.tree) == {'g'}


def test_deep_directories_are_removed_after_an_error(ground: Ground) -> None:
    ground.extract((file('a/' * 1500 + 'f', b'deep'),), (file('../x'),)).refused('..')


@everywhere
@pytest.mark.parametrize('parts', [
    (file('d/' + 'n' * 256, b'x'),), (file(f'd/{"n" * 256}/f'),), (hardlink('d/' + 'n' * 256, 'late'), file('late')),
    (directory('d'), whiteout('d/' + 'n' * 256))], ids=['file', 'directory', 'waiting link', 'whiteout'])
def test_a_name_that_no_file_can_have_is_refused_by_its_path_in_the_image(ground: Ground, parts: tuple[Part, ...],
                                                                          ) -> None:
    done = ground.extract(parts).refused(': d/', 'nnn', 'has a name of more than 255 bytes')
    assert '.occystrap' not in done.err


@everywhere
def test_an_error_of_the_system_names_destination_and_path_in_the_image(ground: Ground) -> None:
    done = ground.extract((symlink('d/link', 'n' * 256), file('d/link/f'))).refused(
        f'cannot write to {ground.directory}/bundle: File name too long (at d/link/f)')
    assert '.occystrap' not in done.err


def test_names_that_are_no_utf8(ground: Ground) -> None:
    parts = (file(NOT_UTF8, b'header'), file(b'pax-' + NOT_UTF8 * 20, b'pax'), file(b'dir\xfe/' + NOT_UTF8, b'dir'),
             Raw(extended([('hdrcharset', b'BINARY'), ('path', b'binary-' + NOT_UTF8)])), file('x', b'binary'),
             symlink(b'link\xff', NOT_UTF8), hardlink(b'hard\xff', NOT_UTF8))
    done = ground.extract(parts, (whiteout(os.fsdecode(b'dir\xfe/' + NOT_UTF8)),))
    assert contents(done, NOT_UTF8, b'pax-' + NOT_UTF8 * 20, b'binary-' + NOT_UTF8, b'hard\xff') == [
        b'header', b'pax', b'binary', b'header']
    assert os.fsencode(done.tree[os.fsdecode(b'link\xff')].target) == NOT_UTF8
    assert os.fsdecode(b'dir\xfe') in done.tree and os.fsdecode(b'dir\xfe/' + NOT_UTF8) not in done.tree


def test_names_that_are_odd(ground: Ground) -> None:
    odd = ['a b', 'new\nline', 'tab\t', '\x1b[31m', '*', '\\', '-rf', 'é', 'e\u0301', '.wh', 'wh.x', '..x', '. ', '~',
           '$HOME',
           '%2e%2e', 'CON', '.hidden', "'", '"']
    done = ground.extract(tuple(file(name, name.encode()) for name in odd))
    assert names(done.tree) == set(odd)
    assert contents(done, *odd) == [name.encode() for name in odd]


def test_pax_headers_for_all_make_no_file(ground: Ground) -> None:
    glob = Raw(extended({'comment': b'0123456789abcdef'}, b'g'))
    done = ground.extract((glob, file('a', b'a'), glob, file('b' * 150, b'b')), (glob,))
    assert names(done.tree) == {'a', 'b' * 150}


def test_a_pax_header_counts_over_the_header_and_for_one_entry(ground: Ground) -> None:
    pax = {'path': b'meant', 'mtime': b'1234567890.25', 'size': b'5'}
    content = Entry('ignored', content=b'12345', pax=pax, fields={'size': b'00000000000\0'})
    done = ground.extract((content, file('next', b'n'), Entry('l', tarfile.SYMTYPE, link='x', pax={'linkpath': b'y'})))
    assert names(done.tree) == {'meant', 'next', 'l'}
    assert contents(done, 'meant', 'next') == [b'12345', b'n'] and done.tree['l'].target == 'y'
    assert done.tree['meant'].mtime == pytest.approx(1234567890.25, abs=1e-6)


def test_types_that_mean_a_file_or_a_directory(ground: Ground) -> None:
    done = ground.extract((Entry('old', b'\0', b'old'), Entry('contiguous', b'7', b'contiguous'), Entry('dir/', b'\0'),
                           Entry('directory', tarfile.DIRTYPE, mode=0o711), file('directory/f', b'f')))
    assert contents(done, 'old', 'contiguous', 'directory/f') == [b'old', b'contiguous', b'f']
    assert {done.tree[name].kind for name in ('dir', 'directory')} == {'directory'}


def test_entries_without_content_ignore_their_size(ground: Ground) -> None:
    size = {'size': b'00000002000\0'}
    parts = (Entry('d/', tarfile.DIRTYPE, mode=0o755, fields=size), symlink('l', 'a', fields=size), file('a', b'a'),
             hardlink('h', 'a', fields=size), file('b', b'b'))
    assert names(ground.extract(parts).tree) == {'d', 'l', 'a', 'h', 'b'}


def test_times_are_kept_to_the_fraction_and_beyond_1970(ground: Ground) -> None:
    done = ground.extract((file('f', pax={'mtime': b'1500000000.123456789'}), file('old', mtime=-1000),
                           file('zero', mtime=0),
                           symlink('l', 'x', mtime=77), file('late', mtime=5_000_000_000)))
    times = {name: done.tree[name].mtime for name in ('old', 'zero', 'l', 'late')}
    assert times == {'old': -1000, 'zero': 0, 'l': 77, 'late': 5_000_000_000}
    with done.shown() as root:
        assert os.stat(root / 'f').st_mtime_ns == 1_500_000_000_123_456_789


SIZE = 2_000_000
# As GNU tar makes them: whole blocks but for the last, and an empty extent where the file ends in a hole.
EXTENTS = {'one in the middle': ((4096, b'x' * 1024), (SIZE, b'')), 'end': ((SIZE - 3, b'end'),),
           'none': ((SIZE, b''),),
           'two': ((0, b'x' * 512), (SIZE - 700, b'y' * 700)),
           'thirty': tuple((number * 8192, bytes([number + 1]) * 512) for number in range(30)) + ((SIZE, b''),)}


@pytest.mark.parametrize('form', FORMATS)
def test_sparse_files(ground: Ground, form: str) -> None:
    parts = [FORMATS[form](f'sparse-{name}', extents, SIZE) for name, extents in EXTENTS.items()]
    done = ground.extract((*parts, file('after', b'after')))
    assert names(done.tree) == {'after', *(f'sparse-{name}' for name in EXTENTS)}
    for name, extents in EXTENTS.items():
        assert contents(done, f'sparse-{name}') == [expanded(extents, SIZE)], name


def test_a_sparse_file_takes_no_room_for_its_holes(ground: Ground) -> None:
    parts = [make(name, ((1 << 26, b'x'),), (1 << 26) + 1) for name, make in FORMATS.items()]
    done = ground.extract(tuple(parts))
    with done.shown() as root:
        assert sum((root / name).stat().st_blocks * 512 for name in FORMATS) < 1 << 24


MAPS: dict[str, tuple[tuple[tuple[int, bytes], ...], int]] = {
    'beyond the end': (((4096, b'x' * 100),), 4100), 'backwards': (((4096, b'x'), (0, b'y')), 8192),
    'overlapping': (((0, b'x' * 100), (50, b'y' * 100)), 8192), 'absurd': (((1 << 62, b'x'),), (1 << 62) + 1)}


@pytest.mark.parametrize('form', [name for name in FORMATS if name != 'old GNU'])
@pytest.mark.parametrize('case', MAPS)
def test_sparse_maps_that_make_no_sense_are_refused(roots_ground: Ground, case: str, form: str) -> None:
    extents, size = MAPS[case]
    roots_ground.extract((FORMATS[form]('sparse', extents, size), file('after', b'after'))).refused()


def test_an_entry_of_an_unknown_type_is_refused_or_a_file(ground: Ground) -> None:
    done = ground.extract((Entry('odd', b'Z', b'content'), file('after', b'after')))
    if done.result.code:
        done.refused('odd')
    else:
        assert contents(done, 'after') == [b'after']


def test_directories_without_a_slash_and_files_with_one(ground: Ground) -> None:
    done = ground.extract((directory('a'), Entry('a/b//', tarfile.DIRTYPE, mode=0o755), file('a/b/c', b'c')))
    assert names(done.tree) == {'a', 'a/b', 'a/b/c'}
