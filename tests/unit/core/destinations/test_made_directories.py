"""Directories that fields name, where several processes make and remove them."""
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations import made_directories
from occystrap_core.destinations.made_directories import MadeDirectories, field_directories

_SPAWN = get_context('spawn')
_ROUNDS = 300


def team(root: Path, name: str = 'app') -> tuple[Location, Place]:
    """Return a destination with a field, and the place of one of its images."""
    return Location('tar', f'{root}/out/{{repository}}.tar', {}, {}), Place.at(f'{root}/out/team/{name}.tar')


def write_when_told(root: Path, line: Connection) -> None:
    """Say when the directories are there, and write an image there when that is answered."""
    with MadeDirectories().above(*team(root, 'other')):
        line.send('ready')
        line.recv()
        (root / 'out/team/other.tar').write_text('image')


def write_again_and_again(root: Path, line: Connection) -> None:
    """Write and remove an image, in directories that are made and removed each time."""
    for _ in range(_ROUNDS):
        made = MadeDirectories()
        with made.above(*team(root, 'other')):
            (root / 'out/team/other.tar').write_text('image')
            (root / 'out/team/other.tar').unlink()
        made.close()
    line.send('written')


def test_a_directory_that_another_process_makes_at_the_same_moment_is_left_to_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, place = team(tmp_path)

    def found_by_both(*arguments: object) -> list[str]:
        missing = field_directories(written, place)
        (tmp_path / 'out').mkdir(exist_ok=True)
        return missing
    monkeypatch.setattr(made_directories, 'field_directories', found_by_both)
    ours = MadeDirectories()
    with ours.above(written, place):
        assert (tmp_path / 'out/team').is_dir()
    ours.close()
    assert [*tmp_path.iterdir()] == [tmp_path / 'out'] and not [*(tmp_path / 'out').iterdir()]


def test_a_directory_that_another_process_has_found_is_not_removed_before_it_has_written(tmp_path: Path) -> None:
    ours, (line, theirs) = MadeDirectories(), _SPAWN.Pipe()
    with ours.above(*team(tmp_path)):
        other = _SPAWN.Process(target=write_when_told, args=(tmp_path, theirs))
        other.start()
        assert line.recv() == 'ready'
    ours.close()
    line.send('write')
    other.join(30)
    assert other.exitcode == 0 and (tmp_path / 'out/team/other.tar').read_text() == 'image'


def test_directories_without_content_are_removed(tmp_path: Path) -> None:
    ours = MadeDirectories()
    with ours.above(*team(tmp_path)):
        assert (tmp_path / 'out/team').is_dir()
    ours.close()
    assert not [*tmp_path.iterdir()]


def test_two_processes_that_make_and_remove_one_directory_find_it_when_they_write(tmp_path: Path) -> None:
    line, theirs = _SPAWN.Pipe()
    other = _SPAWN.Process(target=write_again_and_again, args=(tmp_path, theirs))
    other.start()
    while not line.poll():
        assert other.is_alive()
        made = MadeDirectories()
        with made.above(*team(tmp_path)):
            (tmp_path / 'out/team/app.tar').write_text('image')
            (tmp_path / 'out/team/app.tar').unlink()
        made.close()
    other.join(30)
    assert line.recv() == 'written' and other.exitcode == 0
