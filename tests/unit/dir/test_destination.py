"""What dir:// refuses before anything is read, and in how many words."""
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_core.testing.sample import sample_image
from tests.unit.dir.directories import content, output


def file(path: Path) -> None:
    path.write_text('a file')


def link_to_file(path: Path) -> None:
    path.with_name('file').touch()
    path.symlink_to('file')


def dead_link(path: Path) -> None:
    path.symlink_to('nowhere')


def foreign(path: Path) -> None:
    path.mkdir()
    (path / 'thesis.txt').touch()


def oci_layout(path: Path) -> None:
    path.mkdir()
    for name in ('index.json', 'oci-layout', 'manifest.json'):
        (path / name).touch()


def directory_of_skopeo(path: Path) -> None:
    path.mkdir()
    for name in ('version', 'manifest.json'):
        (path / name).touch()


def bundle(path: Path) -> None:
    for name in ('.occystrap', 'rootfs'):
        (path / name).mkdir(parents=True)
    (path / 'config.json').touch()


def mounts(path: Path) -> None:
    for name in ('.occystrap', 'layers'):
        (path / name).mkdir(parents=True)


def state_is_a_link(path: Path) -> None:
    path.mkdir()
    (path / '.occystrap').symlink_to('/')


@pytest.mark.parametrize('make, message', [
    (file, 'is not a directory: choose a directory'),
    (link_to_file, 'is a link that leads to no directory'),
    (dead_link, 'is a link that leads to no directory'),
    (foreign, "contains other files, such as 'thesis.txt': choose an empty directory"),
    (oci_layout, 'holds an image in another layout'),
    (directory_of_skopeo, 'holds an image in another layout'),
    (bundle, "holds an image in another layout \\('rootfs' is there\\)"),
    (mounts, "holds an image in another layout \\('layers' is there\\)"),
    (state_is_a_link, 'a symbolic link is in the way, where a directory should be .*/x/.occystrap.: remove it')])
def test_a_place_that_is_not_ours_is_refused_and_left_alone(
        tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / 'x')
    before = sorted(tmp_path.rglob('*'))
    writer = output(tmp_path / 'x')
    with pytest.raises(OutputError, match=message) as raised:
        writer.prepare(sample_image())
    writer.abort()
    assert str(tmp_path / 'x') in str(raised.value) and '\n' not in str(raised.value)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_missing_parent_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f'there is no directory {tmp_path}/a; create it first'):
        output(tmp_path / 'a' / 'b').prepare(sample_image())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('make', [
    lambda path: None, Path.mkdir, lambda path: (path / 'lost+found').mkdir(parents=True)])
def test_a_new_or_empty_directory_is_accepted(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / 'x')
    before = sorted(tmp_path.rglob('*'))
    writer = output(tmp_path / 'x')
    writer.prepare(sample_image())
    assert (tmp_path / 'x').is_dir()
    writer.abort()
    assert sorted(tmp_path.rglob('*')) == before


def test_a_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / 'x').mkdir()
    (tmp_path / 'link').symlink_to('x')
    writer = output(tmp_path / 'link')
    writer.prepare(sample_image())
    writer.abort()
    assert (tmp_path / 'link').is_symlink() and content(tmp_path) == {}


def test_a_relative_path_is_absolute_in_the_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert output(Path('x')).location.path == str(tmp_path / 'x')
