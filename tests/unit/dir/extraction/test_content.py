"""Content is written whole, to the device early if that is requested, and never through a link put in its way."""
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core.tar import TarReader
from occystrap_dir.extraction import content as content_module, tree, tree_files
from occystrap_dir.extraction.content import write_content
from occystrap_dir.extraction.limits import Budget
from occystrap_dir.extraction.tree_files import read_small
from occystrap_dir.file_list import file_system, tree_check
from occystrap_dir.workspace.root import Root
from tests.unit.core.tar.raw import END, member
from tests.unit.core.tar.test_reader import dribbled
from tests.unit.dir.extraction.unpacked import differences, directory, file, unpack


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    """An open, empty file `target`."""
    descriptor = os.open(tmp_path / 'target', os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def written(target: int, data: bytes, sync: bool, most: int = 100) -> bytes:
    reader = TarReader(dribbled(member(b'a', data) + END, most))
    next(reader.entries())
    return write_content(target, reader, Budget(1 << 30, 1, 1), sync)


@pytest.mark.parametrize('length', [0, 1, 99, 100, 1000, 5000])
@pytest.mark.parametrize('most', [100, 1 << 19])
def test_content_with_its_size_and_digest(length: int, most: int, target: int) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    keywords = written(target, data[:length], False, most)
    assert keywords == b' size=%d sha256digest=%s' % (length, hashlib.sha256(data[:length]).hexdigest().encode())
    assert os.pread(target, 1 << 20, 0) == data[:length]


def test_content_goes_to_the_device_in_pieces_that_follow_each_other(target: int,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(content_module, 'WRITEBACK', 1000)
    monkeypatch.setattr(content_module, 'start_writeback', lambda descriptor, start, size: begun.append((start, size)))
    written(target, bytes(3950), sync=True)
    assert len(begun) == 3 and sum(size for _, size in begun) <= 3950
    assert [start for start, _ in begun] == [0, begun[0][1], begun[0][1] + begun[1][1]]
    assert all(1000 <= size < 1100 for _, size in begun)
    begun.clear()
    written(target, bytes(3950), sync=False)
    assert begun == []


def test_a_piece_of_exactly_that_size_begins_its_way(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(content_module, 'WRITEBACK', 512)
    monkeypatch.setattr(content_module, 'start_writeback', lambda descriptor, start, size: begun.append((start, size)))
    written(target, bytes(2048), sync=True, most=512)
    assert begun == [(0, 512), (512, 512), (1024, 512), (1536, 512)]


# Links that replace a file between two checks

@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that nothing may read or write."""
    path = tmp_path / 'secret'
    path.write_bytes(b'secret')
    return path


def swapping(monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], None]) -> None:
    """Have a function of the system followed, once, by a swap."""
    real = getattr(os, name)
    swaps = [swap]

    def swapped(*arguments: object, **options: object) -> object:
        found = real(*arguments, **options)
        if swaps:
            swaps.pop()()
        return found
    monkeypatch.setattr(os, name, swapped)


def put_link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def test_a_link_is_not_read(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'root').mkdir()
    (tmp_path / 'root/passwd').touch()
    root = Root(str(tmp_path / 'root'))
    assert read_small(root, b'passwd') == b''
    swapping(monkeypatch, 'stat', lambda: put_link(tmp_path / 'root/passwd', secret))
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        read_small(root, b'passwd')
    root.close()


def test_a_link_is_not_compared(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, lines = unpack(tmp_path, [file(b'a')])
    swapping(monkeypatch, 'lstat', lambda: put_link(root / 'a', secret))
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        differences(root, lines)


def test_a_pipe_does_not_hold_up_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, lines = unpack(tmp_path, [file(b'a')])
    swapping(monkeypatch, 'lstat', lambda: ((root / 'a').unlink(), os.mkfifo(root / 'a')) and None)
    differences(root, lines)  # opening it does not wait for a writer


def test_new_files_are_never_opened_through_a_link(tmp_path: Path, secret: Path) -> None:
    for flags in (tree._NEW_FILE,):
        (tmp_path / 'link').symlink_to(secret)
        with pytest.raises(FileExistsError):
            os.open(tmp_path / 'link', flags)
    assert tree_check._FILE & os.O_NOFOLLOW and tree_check._FILE & os.O_NONBLOCK and secret.read_bytes() == b'secret'
    assert tree_files._CAP == 16 << 20


@pytest.mark.parametrize('kind', ['file', 'link'])
def test_a_probe_replaces_nothing(kind: str, tmp_path: Path, secret: Path) -> None:
    (tmp_path / 'tree').mkdir()
    (tmp_path / 'tree/probe').symlink_to(secret) if kind == 'link' else (tmp_path / 'tree/probe').write_bytes(b'mine')
    descriptor = os.open(tmp_path / 'tree', os.O_RDONLY)
    with pytest.raises(FileExistsError):
        file_system.FileSystem.of(descriptor)
    os.close(descriptor)
    assert secret.read_bytes() == b'secret'


def test_a_replaced_directory_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[str] = []

    def clear(descriptor: int, kept: object = ()) -> None:
        cleared.append(os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2])
    monkeypatch.setattr(tree, 'clear_xattrs', clear)
    unpack(tmp_path, [directory(b'd'), directory(b'd/s')], [file(b'd/s/new'), file(b'd/.wh.s', b'')])
    assert cleared[0].startswith('.tree.occystrap-') and cleared[1:] == ['s']
    cleared.clear()
    (tmp_path / 'again').mkdir()
    unpack(tmp_path / 'again', [directory(b'd')], [directory(b'd')])
    assert cleared[1:] == ['d']
