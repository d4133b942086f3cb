"""Trees that are changed after they were written: what is seen, by which level, and that the README says the same."""
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from occystrap_core.receipts.receipt_lines import read_receipts
from tests.hostile.extraction.stacks import (
    device, directory, fifo, file, hardlink, layer, save_image, symlink, whiteout, with_xattrs,
)
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.command_line import CommandResult

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='needs root: owners, devices, trusted attributes, flags')

README = Path(__file__).parents[3] / 'plugins/occystrap_dir/README.md'
CAPABILITY = bytes.fromhex('0100000280000000000000000000000000000000')
ACL = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in (
    (1, 7, 0xffffffff), (2, 7, 1000), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 5, 0xffffffff)))
LAYERS = (
    (directory('d', mtime=1_500_000_001), file('d/a', b'aaaa'), file('d/b', b'bbbb'), file('d/c', b'cccc', mode=0o755),
     hardlink('d/l', 'd/c'), symlink('s', 'd/a'), fifo('p'), device('n', 1, 3), directory('empty'),
     file('x', b'x', pax=with_xattrs(user__kept=b'1', security__capability=CAPABILITY)),
     file('holes', bytes(1 << 16))),
    (whiteout('d/b'), file('e', b'e')))
SOURCES = {'oci': 'oci://{}/out', 'mounts': 'mounts://{}/out', 'dir': 'dir://{}/out?expand=true'}


class Change(NamedTuple):
    """Something done to a tree; `levels` are those that report it, `words` are in the line that reports it."""

    make: Callable[[Path], object]
    words: str
    levels: str = 'fast, full'


def set_flag(flag: str, name: str) -> Callable[[Path], object]:
    """Return what sets a flag by chattr."""
    return lambda root: subprocess.run(['chattr', f'+{flag}', root / name], check=True)


def set_xattr(path: str, name: str, value: bytes) -> Callable[[Path], object]:
    """Return what sets an extended attribute."""
    return lambda root: os.setxattr(root / path, name, value, follow_symlinks=False)


def like(path: Path, change: Callable[[], object]) -> None:
    """Make a change, and give the directory its time back, and the file, if it is there, its own."""
    times = {each: each.lstat().st_mtime_ns for each in (path.parent, path) if os.path.lexists(each)}
    change()
    for each, time in times.items():
        if os.path.lexists(each):
            os.utime(each, ns=(time, time), follow_symlinks=False)


def broken_link(root: Path) -> None:
    """Make two files of one with two names, alike in all else."""
    (root / 'd/l').unlink()
    shutil.copy2(root / 'd/c', root / 'd/l')


def other_holes(root: Path) -> None:
    """Give the room that a file's zeros take back to the file system."""
    like(root / 'holes', lambda: subprocess.run(['fallocate', '--dig-holes', root / 'holes'], check=True))


def outside(root: Path) -> Path:
    """Return a path beside the destination."""
    return next(path for path in root.parents if (path / 'image.tar').exists()) / 'outside'


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return what puts something else in the place of a name."""
    def replace(root: Path) -> None:
        def change() -> None:
            (root / name).unlink()
            make(root / name)
        like(root / name, change)
    return replace


CHANGES = {
    'content': Change(
        lambda root: like(root / 'd/a', lambda: (root / 'd/a').write_bytes(b'aaba')), 'd/a: digest', 'full'),
    'size': Change(lambda root: like(root / 'd/a', lambda: (root / 'd/a').write_bytes(b'aaaaa')), 'd/a: size'),
    'mode': Change(lambda root: (root / 'd/c').chmod(0o4755), 'd/c: mode is 4755'),
    'mode of a directory': Change(lambda root: (root / 'empty').chmod(0o777), 'empty: mode is 0777'),
    'owner': Change(lambda root: os.chown(root / 'd', 7, 8), 'd: owner is 7:8'),
    'owner of a symlink': Change(lambda root: os.lchown(root / 's', 7, 8), 's: owner is 7:8'),
    'time': Change(lambda root: os.utime(root / 'd/a', (1, 1)), 'd/a: time is 1.0'),
    'nanoseconds of a time': Change(
        lambda root: os.utime(root / 'd/a', ns=(0, 1_500_000_000 * 10 ** 9 + 1)), 'd/a: time is 1500000000.000000001'),
    'time of a directory': Change(lambda root: os.utime(root / 'd', (1, 1)), 'd: time is 1.0'),
    'time of a symlink': Change(lambda root: os.utime(root / 's', (1, 1), follow_symlinks=False), 's: time is 1.0'),
    'type': Change(replaced('p', lambda path: path.touch()), 'p: type is file'),
    'file for a link to an equal file': Change(replaced('d/a', lambda path: path.symlink_to('b')), 'd/a: type is link'),
    'target of a symlink': Change(replaced('s', lambda path: path.symlink_to('d/c')), 's: target is d/c'),
    'device numbers': Change(
        replaced('n', lambda path: os.mknod(path, 0o20644, os.makedev(1, 5))), 'n: device is (1, 5)'),
    'an entry less': Change(lambda root: like(root / 'd/a', (root / 'd/a').unlink), 'd/a: is missing'),
    'an entry more': Change(
        lambda root: like(root / 'empty/new', lambda: (root / 'empty/new').touch()), 'empty/new: exists'),
    'a name more, elsewhere': Change(lambda root: os.link(root / 'd/a', outside(root)), 'd/a: number of links is 2'),
    'one file made two': Change(lambda root: like(root / 'd/l', lambda: broken_link(root)), 'd/l: is not a hard link'),
    'capability added': Change(set_xattr('d/c', 'security.capability', CAPABILITY), 'd/c: has the attribute secur'),
    'capability removed': Change(lambda root: os.removexattr(root / 'x', 'security.capability'),
                                 'x: has no attribute security.capability'),
    'attribute added': Change(set_xattr('d/a', 'user.new', b'1'), 'd/a: has the attribute user.new'),
    'attribute changed': Change(set_xattr('x', 'user.kept', b'2'), 'x: attribute user.kept'),
    'attribute of a symlink': Change(set_xattr('s', 'trusted.new', b'1'), 's: has the attribute trusted.new'),
    'attribute of a device': Change(set_xattr('n', 'trusted.new', b'1'), 'n: has the attribute trusted.new'),
    'access list': Change(set_xattr('empty', 'system.posix_acl_access', ACL),
                          'empty: has the attribute system.posix_acl_access'),
    'default access list': Change(set_xattr('empty', 'system.posix_acl_default', ACL),
                                  'empty: has the attribute system.posix_acl_default'),
    'overlay mark: opaque': Change(set_xattr('d', 'trusted.overlay.opaque', b'y'), 'd: has the attribute trusted'),
    'overlay mark: redirect': Change(set_xattr('d', 'trusted.overlay.redirect', b'/e'), 'd: has the attribute trusted'),
    'overlay mark: metacopy': Change(set_xattr('d/a', 'trusted.overlay.metacopy', b''), 'd/a: has the attribute trust'),
    'flag: immutable': Change(set_flag('i', 'd/a'), 'd/a: flags is i, expected none'),
    'flag: append only': Change(set_flag('a', 'd/a'), 'd/a: flags is a, expected none'),
    'flag of a directory': Change(set_flag('i', 'empty'), 'empty: flags is i, expected none'),
    'flag: no dump': Change(set_flag('d', 'd/a'), 'd/a: flags is d, expected none'),
    'holes, access time, change time': Change(other_holes, '', ''),
}


@pytest.fixture(params=SOURCES)
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A written image: its receipt, and the directory of the tree that most of it is in."""
    archive = save_image(tmp_path / 'image.tar', *(layer(*parts) for parts in LAYERS))
    run_here('process', f'tar://{archive}', SOURCES[request.param].format(tmp_path), '--no-sync', '--receipt',
             tmp_path / 'receipt').assert_success()
    trees = {'oci': lambda: tmp_path / 'out/rootfs', 'dir': lambda: tmp_path / 'out/manifest',
             'mounts': lambda: next(path.parent for path in (tmp_path / 'out/layers').glob('*/empty'))}
    yield tmp_path / 'receipt', trees[request.param]()
    subprocess.run(['chattr', '-R', '-i', '-a', tmp_path / 'out'], check=False, capture_output=True)


def verify(receipt: Path, level: str) -> CommandResult:
    """Verify a receipt at one level."""
    return run_here('verify', receipt, *(['--full'] if level == 'full' else ['--verify=fast']))


@pytest.mark.parametrize('name', CHANGES)
def test_a_change_is_seen_by_the_levels_that_see_it(name: str, destination: tuple[Path, Path]) -> None:
    receipt, tree = destination
    change = CHANGES[name]
    verify(receipt, 'full').assert_success()
    change.make(tree)
    for level in ('fast', 'full'):
        result = verify(receipt, level)
        if level in change.levels.split(', '):
            result.assert_code(1)
            lines = [line for line in result.err.splitlines() if f'/{change.words}' in line]
            assert len(lines) == 1 and 'error: ' in lines[0], str(result)
        else:
            result.assert_success()


def test_the_readme_says_what_is_seen() -> None:
    """To renew the table: what the assertion shows."""
    table = ''.join(f'| {name} | {"yes" if "fast" in change.levels else "no"} | {"yes" if change.levels else "no"} |\n'
                    for name, change in CHANGES.items())
    assert table in README.read_text(), table


def test_something_more_in_a_bundle_is_seen(tmp_path: Path) -> None:
    archive = save_image(tmp_path / 'image.tar', layer(file('f', b'f')))
    run_here('process', f'tar://{archive}', f'oci://{tmp_path}/out', '--no-sync').assert_success()
    (tmp_path / 'out/hooks').mkdir()
    result = run_here('verify', f'oci://{tmp_path}/out')
    result.assert_code(1)
    assert 'error: hooks: exists, but occystrap did not write it' in result.err


NOTHING_LOST = ('an entry less', 'time of a directory', 'a name more, elsewhere')


@pytest.mark.parametrize('name', [
    name for name, change in CHANGES.items() if 'fast' in change.levels and name not in NOTHING_LOST])
def test_changed_trees_are_not_replaced(name: str, destination: tuple[Path, Path]) -> None:
    receipt, tree = destination
    CHANGES[name].make(tree)
    where = next(path for path in tree.parents if (path / 'image.tar').exists())
    uri = next(uri for uri in SOURCES.values() if uri.startswith(f'{read_receipts(str(receipt))[0].scheme}:'))
    result = run_here('process', f'tar://{where}/image.tar', uri.format(where), '--no-sync')
    result.assert_code(1)
    assert 'changed since it was written' in result.err and 'or use --force' in result.err, result
    verify(receipt, 'fast').assert_code(1)
    if not name.startswith('flag'):  # which keep even root from removing a file
        forced = run_here('process', f'tar://{where}/image.tar', uri.format(where), '--no-sync', '--force')
        forced.assert_success()
        verify(receipt, 'full').assert_success()


@pytest.mark.parametrize('name', NOTHING_LOST)
def test_missing_files_are_written_again(name: str, destination: tuple[Path, Path]) -> None:
    receipt, tree = destination
    CHANGES[name].make(tree)
    where = next(path for path in tree.parents if (path / 'image.tar').exists())
    uri = next(uri for uri in SOURCES.values() if uri.startswith(f'{read_receipts(str(receipt))[0].scheme}:'))
    run_here('process', f'tar://{where}/image.tar', uri.format(where), '--no-sync').assert_success()
    verify(receipt, 'full').assert_success()


@pytest.mark.parametrize(('uri', 'next_uri'), [
    ('oci://out', 'oci://out'), ('dir://out?expand=true', 'dir://out?expand=true'),
    ('dir://out?expand=true', 'dir://out'),
    ('dir://out?unique_names=true&expand=true', 'dir://out?unique_names=true&expand=true'),
    ('dir://out?unique_names=true&expand=true', 'dir://out?unique_names=true')])
def test_nor_for_the_sake_of_another_image(uri: str, next_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           ) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (('a', b'a'), ('b', b'b')):
        save_image(tmp_path / f'{name}.tar', layer(directory('etc'), file(f'etc/{content.decode()}', content)))
    run_here('process', 'tar://a.tar', uri).assert_success()
    tree = next(path.parent for path in tmp_path.glob('out/*/etc'))
    (tree / 'etc/mywork').write_text('mine')
    result = run_here('process', 'tar://b.tar', next_uri)
    is_refused(result, 'was changed since it was written', 'etc', ': move it away, or use --force')
    assert (tree / 'etc/mywork').read_text() == 'mine' and (tree / 'etc/a').exists()
    run_here('process', 'tar://b.tar', next_uri, '--force').assert_success()
    assert not (tree / 'etc/a').exists()


def test_nor_is_a_config_or_a_tree_without_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / 'a.tar', layer(file('f', b'f')))
    for change, words in ((lambda: (tmp_path / 'out/config.json').write_text('{}'), 'config.json'),
                          ((tmp_path / 'out/.occystrap/rootfs.mtree').unlink, 'no readable list of the files')):
        run_here('process', 'tar://a.tar', 'oci://out', '--force').assert_success()
        change()
        is_refused(run_here('process', 'tar://a.tar', 'oci://out'), words, 'use --force')


def test_a_changed_layer_that_no_image_has_any_more_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        save_image(tmp_path / f'{name}.tar', layer(file(name, b'f')))
    run_here('process', 'tar://a.tar', 'mounts://out').assert_success()
    kept = next(path.parent for path in tmp_path.glob('out/layers/*/a'))
    (kept / 'mywork').write_text('mine')
    run_here('process', 'tar://b.tar', 'mounts://out').assert_success()
    assert (kept / 'mywork').read_text() == 'mine'
    run_here('process', 'tar://b.tar', 'mounts://out', '--force').assert_success()
