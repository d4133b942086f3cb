"""A tree against its list: every difference is reported, each once, and nothing else."""
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from occystrap_core import InvalidImage
from occystrap_dir.file_list import tree_check
from occystrap_dir.file_list.file_system import FileSystem
from occystrap_dir.file_list.mtree import Line
from tests.unit.dir.extraction.unpacked import differences, directory, file, other, unpack

ENTRIES = [directory(b'd'), file(b'd/a', b'one'), file(b'd/b', b'two'), directory(b'd/s'), other(b'd/l', b'2',
                                                                                                 linkname=b'a'),
           other(b'd/p', b'6'), other(b'h', b'1', linkname=b'd/a'), directory(b'e'), file(b'z', b'three')]


@dataclass
class Unpacked:
    """A tree and its list."""

    root: Path
    lines: list[Line]

    def differences(self, **options: bool) -> list[str]:
        """Return the differences as they are now."""
        return differences(self.root, self.lines, **options)  # type: ignore[arg-type]

    def edit(self, path: bytes, **fields: object) -> None:
        """Change what the list has of a path."""
        self.lines = [line._replace(**fields) if line.path == path else line
                      for line in self.lines]  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Unpacked:
    """A tree with something of each kind, which is as its list says."""
    made = Unpacked(*unpack(tmp_path, ENTRIES))
    assert not made.differences() and not made.differences(full=True)
    return made


def same_time(path: Path, change: Callable[[], object]) -> None:
    """Make a change that leaves the time of a directory as it was."""
    found = path.stat()
    change()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


EDITS: dict[str, tuple[bytes, dict[str, object], str]] = {
    'mode': (b'd/a', {'mode': 0o600}, 'tree/d/a: mode is 0644, expected 0600'),
    'mode of a directory': (b'd', {'mode': 0o700}, 'tree/d: mode is 0755, expected 0700'),
    'mode of the root': (b'', {'mode': 0o700}, 'tree: mode is 0755, expected 0700'),
    'user': (b'd/b', {'uid': 54321, 'gid': 0}, 'tree/d/b: owner is {uid}:{gid}, expected 54321:0'),
    'group': (b'd/b', {'uid': os.geteuid(), 'gid': 54321}, 'tree/d/b: owner is {uid}:{gid}, expected {uid}:54321'),
    'size': (b'd/b', {'size': 4}, 'tree/d/b: size in bytes is 3, expected 4'),
    'time': (b'd/b', {'time': 512 * 10 ** 9 + 1}, 'tree/d/b: time is 512.000000000, expected 512.000000001'),
    'negative time': (b'd/b', {'time': -1}, 'tree/d/b: time is 512.000000000, expected -1.999999999'),
    'time of a directory': (b'd', {'time': 0}, 'tree/d: time is 512.000000000, expected 0.000000000'),
    'target': (b'd/l', {'target': b'b'}, 'tree/d/l: target is a, expected b'),
    'kind': (b'd/l', {'kind': 'fifo'}, 'tree/d/l: type is link, expected fifo'),
    'links': (b'z', {'names': 2}, 'tree/z: number of links is 1, expected 2'),
    'links of one': (b'h', {'names': 1}, 'tree/h: number of links is 2, expected 1'),
    'device': (b'd/p', {'device': (1, 3)}, 'tree/d/p: device is (0, 0), expected (1, 3)'),
    'digest': (b'd/b', {'digest': '0' * 64}, ''),
}


@pytest.mark.parametrize('what', EDITS)
def test_one_difference_is_one_finding(what: str, tree: Unpacked) -> None:
    path, fields, message = EDITS[what]
    tree.edit(path, **fields)
    expected = [message.format(uid=os.geteuid(), gid=os.getegid())] if message else []
    assert tree.differences() == expected
    full = tree.differences(full=True)
    assert full == expected or what == 'digest' and full[0].startswith('tree/d/b: digest is sha256:') and len(full) == 1


def test_fields_missing_from_a_line_are_not_compared(tree: Unpacked) -> None:
    bare = {'mode': None, 'uid': None, 'gid': None, 'time': None, 'size': None, 'device': None}
    tree.lines = [line._replace(**bare) for line in tree.lines]  # type: ignore[arg-type]
    (tree.root / 'z').chmod(0o600)
    os.utime(tree.root / 'z', (5, 5))
    assert tree.differences() == []


def test_everything_below_a_missing_directory_is_one_finding(tree: Unpacked) -> None:
    same_time(tree.root, lambda: shutil.rmtree(tree.root / 'd'))
    found = tree.differences()
    assert found[:2] == ['tree/d: is missing', 'tree/h: number of links is 1, expected 2'] and len(found) == 2
    assert tree.differences(may_miss=True) == []


def test_a_directory_that_became_a_file_is_one_finding(tree: Unpacked) -> None:
    same_time(tree.root, lambda: [(tree.root / 'e').rmdir(), (tree.root / 'e').touch()])
    assert tree.differences() == ['tree/e: type is file, expected dir']
    assert tree.differences(may_miss=True) == ['tree/e: type is file, expected dir']


def test_directories_without_lines_of_their_own_must_be_empty(tree: Unpacked) -> None:
    for name in ('d/s', 'e'):
        same_time(tree.root / name, (tree.root / name / 'new').touch)
    assert tree.differences() == ['tree/d/s/new: exists, but no layer has it',
                                  'tree/e/new: exists, but no layer has it']


def test_extra_files_are_reported_in_order(tree: Unpacked) -> None:
    for name in ('y', 'b', 'd/new'):
        same_time((tree.root / name).parent, (tree.root / name).touch)
    assert tree.differences() == ['tree/b: exists, but no layer has it', 'tree/y: exists, but no layer has it',
                                  'tree/d/new: exists, but no layer has it']


def test_names_of_one_file_must_be_one_file(tree: Unpacked) -> None:
    content = (tree.root / 'h').read_bytes()
    (tree.root / 'other').hardlink_to(tree.root / 'd/a')
    (tree.root / 'h').unlink()
    (tree.root / 'h').write_bytes(content)
    os.link(tree.root / 'h', tree.root.parent / 'elsewhere')
    os.link(tree.root / 'h', tree.root / 'h2')
    os.unlink(tree.root / 'h2')
    os.utime(tree.root / 'h', (512, 512))
    (tree.root / 'h').chmod(0o644)
    same_time(tree.root, (tree.root / 'other').unlink)
    (tree.root / 'other2').hardlink_to(tree.root / 'd/a')
    os.utime(tree.root, (0, 0))
    found = tree.differences()
    assert 'tree/d/a: is not a hard link to the expected file' in found
    assert 'tree/other2: exists, but no layer has it' in found and len(found) == 2
    tree.edit(b'd/a', digest='0' * 64)
    assert any('tree/d/a: digest is' in each for each in tree.differences(full=True))


def test_one_file_is_read_once_for_all_its_names(tree: Unpacked, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = tree_check.TreeCheck._hash
    monkeypatch.setattr(tree_check.TreeCheck, '_hash',
                        lambda self, at, line: read.append(line.path) or real(self, at, line))
    assert tree.differences(full=True) == [] and sorted(read) == [b'd/b', b'h', b'z']


def test_files_that_are_missing_may_be_so_if_the_caller_allows_it(tree: Unpacked) -> None:
    (tree.root / 'd/a').unlink()
    (tree.root / 'd/b').unlink()
    assert tree.differences(may_miss=True) == []
    found = tree.differences()
    assert 'tree/d/a: is missing' in found and 'tree/d/b: is missing' in found
    (tree.root / 'd/b').write_bytes(b'two')
    assert [each.partition(':')[0] for each in tree.differences(may_miss=True)] == ['tree/d/b'] * len(
        tree.differences(may_miss=True)) != []


def test_so_many_differences_are_reported_one_by_one(tmp_path: Path) -> None:
    root, lines = unpack(tmp_path, [directory(b'd')])
    for count, more in ((100, []), (101, ['tree: differs in 1 more places']),
                        (103, ['tree: differs in 3 more places'])):
        for number in range(count):
            same_time(root / 'd', (root / f'd/{number:03}').touch)
        assert differences(root, lines) == [
            f'tree/d/{number:03}: exists, but no layer has it' for number in range(100)] + more


def test_directories_of_more_lines_than_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_check, '_AT_ONCE', 2)
    root, lines = unpack(tmp_path, [file(b'%d' % number) for number in range(5)])
    assert not differences(root, lines, full=True)
    (root / '4').unlink()
    same_time(root, (root / '5').touch)
    os.utime(root, (0, 0))
    assert differences(root, lines) == ['tree/4: is missing', 'tree/5: exists, but no layer has it']


@pytest.mark.parametrize('remove', [b'd', b'd/s/t'])
def test_lines_below_a_directory_that_has_none_are_refused(remove: bytes, tmp_path: Path) -> None:
    root, lines = unpack(tmp_path, [directory(b'd'), directory(b'd/s'), directory(b'd/s/t'), file(b'd/s/t/f'),
                                    file(b'd/s/u')])
    with pytest.raises(InvalidImage, match='has entries in .* before that directory itself'):
        differences(root, [line for line in lines if line.path != remove])


def test_deep_directories_beside_each_other(tmp_path: Path) -> None:
    names = [b'a', b'a/b', b'a/b/c', b'a/d', b'a/d/e', b'f', b'f/g', b'f/g/h']
    root, lines = unpack(tmp_path, [*map(directory, names), *(file(name + b'/x') for name in names)])
    assert not differences(root, lines, full=True)
    same_time(root / 'a/b/c', (root / 'a/b/c/x').unlink)
    assert differences(root, lines) == ['tree/a/b/c/x: is missing']


@pytest.mark.parametrize(('step', 'time', 'is_alike'), [
    (1, 512 * 10 ** 9 + 1, False), (100, 512 * 10 ** 9 + 99, True), (100, 512 * 10 ** 9 + 100, False),
    (10 ** 9, 513 * 10 ** 9 - 1, True), (2 * 10 ** 9, 514 * 10 ** 9 - 1, True), (2 * 10 ** 9, 514 * 10 ** 9, False)])
def test_times_are_compared_as_far_as_the_file_system_holds_them(step: int, time: int, is_alike: bool,
                                                                 tree: Unpacked) -> None:
    tree.edit(b'z', time=time)
    assert bool(differences(tree.root, tree.lines, FileSystem(step))) is not is_alike


@pytest.fixture
def attributes(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """Extended attributes by the last name of a path, in place of those of the file system."""
    held: dict[str, dict[str, bytes]] = {}

    def of(target: int | str | bytes) -> dict[str, bytes]:
        path = os.readlink(f'/proc/self/fd/{target}') if isinstance(target, int) else os.fsdecode(target)
        return held.get(path.rpartition('/')[2], {})
    monkeypatch.setattr(os, 'listxattr', lambda target, **_: list(of(target)))
    monkeypatch.setattr(os, 'getxattr', lambda target, name, **_: of(target)[os.fsdecode(name)])
    return held


@pytest.mark.parametrize('name', ['b', 'd', 's', 'l', 'p', 'e', 'tree'])
def test_attributes_are_compared(name: str, tree: Unpacked, attributes: dict[str, dict[str, bytes]]) -> None:
    line = next(line for line in tree.lines if os.fsdecode(line.path).rpartition('/')[2] == (name if name != 'tree'
                                                                                             else ''))
    path = f'tree/{os.fsdecode(line.path)}'.rstrip('/')
    attributes[name] = {'user.b': b'x', 'user.a': b'y'}
    assert tree.differences() == [f'{path}: has the attribute user.{each}, which no layer sets' for each in 'ab']
    tree.edit(line.path, xattrs={b'user.a': b'y', b'user.b': b'x'})
    assert tree.differences() == []
    tree.edit(line.path, xattrs={b'user.c': b'', b'user.a': b'z', b'user.b': b'x'})
    assert tree.differences() == [f'{path}: has no attribute user.c',
                                  f"{path}: attribute user.a is {b'y'}, expected {b'z'}"]


def test_attributes_that_the_system_sets_are_ignored(tree: Unpacked,
                                                     attributes: dict[str, dict[str, bytes]]) -> None:
    attributes['b'] = {'security.selinux': b'label', 'user.a': b''}
    assert differences(tree.root, tree.lines, FileSystem(xattrs=(b'security.selinux',))) == [
        'tree/d/b: has the attribute user.a, which no layer sets']


@pytest.mark.parametrize(('file_flags', 'directory_flags', 'expected'), [
    (0, 0, []), (None, None, []), (0x10, 0, ['tree/d/b: flags is i, expected none']),
    (0, 0x10, ['tree/e: flags is i, expected none'])])
def test_flags_are_compared(file_flags: int | None, directory_flags: int | None, expected: list[str], tree: Unpacked,
                            monkeypatch: pytest.MonkeyPatch) -> None:
    def flags_of(descriptor: int) -> int | None:
        name = os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2]
        return {'b': file_flags, 'e': directory_flags}.get(name, 0)
    monkeypatch.setattr(tree_check, 'flags_of', flags_of)
    assert differences(tree.root, tree.lines, FileSystem(flags=(0, 0))) == expected
    assert differences(tree.root, tree.lines, FileSystem(flags=None)) == []


def test_flags_that_are_inherited_are_expected(tree: Unpacked, monkeypatch: pytest.MonkeyPatch) -> None:
    def flags_of(descriptor: int) -> int:
        return 0x40 if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 0x80
    monkeypatch.setattr(tree_check, 'flags_of', flags_of)
    assert differences(tree.root, tree.lines, FileSystem(flags=(0x80, 0x40))) == []
    assert differences(tree.root, tree.lines, FileSystem(flags=(0, 0x40))) == [
        f'tree/{name}: flags is A, expected none' for name in ('h', 'z', 'd/a', 'd/b')]
