"""Files of a tree are read as a process in it would: links within it, no devices, no more than the limit."""
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import InvalidImage
from occystrap_dir.extraction import tree_files
from occystrap_dir.extraction.tree_files import read_small
from occystrap_dir.workspace.root import Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    """The root of a tree with `etc/passwd`."""
    (tmp_path / 'etc').mkdir()
    (tmp_path / 'etc/passwd').write_bytes(b'root')
    opened = Root(str(tmp_path))
    yield opened
    opened.close()


def test_a_file_has_up_to_the_limit(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_files, '_CAP', 4)
    assert read_small(root, b'etc/passwd') == b'root'
    monkeypatch.setattr(tree_files, '_CAP', 3)
    with pytest.raises(InvalidImage, match='etc/passwd has more than the 3 bytes allowed'):
        read_small(root, b'etc/passwd')


def test_the_limit_is_16_mib(root: Root, tmp_path: Path) -> None:
    os.truncate(tmp_path / 'etc/passwd', 16 << 20)
    assert len(read_small(root, b'etc/passwd') or b'') == 16 << 20
    os.truncate(tmp_path / 'etc/passwd', (16 << 20) + 1)
    with pytest.raises(InvalidImage):
        read_small(root, b'etc/passwd')


@pytest.mark.parametrize('target', ['passwd', '/etc/passwd', '//etc/passwd', '../etc/passwd', '../../../etc/passwd'])
def test_links_stay_in_the_tree(target: str, root: Root, tmp_path: Path) -> None:
    (tmp_path / 'etc/link').symlink_to(target)
    assert read_small(root, b'etc/link') == b'root'


@pytest.mark.parametrize(('links', 'content'), [(39, b'root'), (40, None)])
def test_so_many_links_are_followed(links: int, content: bytes | None, root: Root, tmp_path: Path) -> None:
    for number in range(links):
        (tmp_path / f'{number + 1}').symlink_to(f'{number}' if number else 'etc/passwd')
    assert read_small(root, b'%d' % links) == content


@pytest.mark.parametrize('path', [b'etc/shadow', b'none/passwd', b'etc', b'etc/.', b'etc/..', b'', b'pipe'])
def test_other_kinds_of_files_return_none(path: bytes, root: Root, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    assert read_small(root, path) is None
