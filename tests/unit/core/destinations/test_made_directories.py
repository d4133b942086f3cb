"""Directories that fields name, where several processes make them."""
from pathlib import Path

import pytest

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations import made_directories
from occystrap_core.destinations.made_directories import MadeDirectories, directories_to_make


def test_a_directory_that_another_process_makes_at_the_same_moment_is_left_to_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Location('tar', f'{tmp_path}/out/{{repository}}.tar', {}, {})
    place = Place.at(f'{tmp_path}/out/team/app.tar')

    def found_by_both(*arguments: object) -> list[str]:
        missing = directories_to_make(written, place)
        (tmp_path / 'out').mkdir(exist_ok=True)
        return missing
    monkeypatch.setattr(made_directories, 'directories_to_make', found_by_both)
    ours = MadeDirectories()
    ours.make(written, place)
    assert (tmp_path / 'out/team').is_dir()
    ours.close()
    assert [*tmp_path.iterdir()] == [tmp_path / 'out'] and not [*(tmp_path / 'out').iterdir()]
