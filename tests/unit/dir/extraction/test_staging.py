"""Staged directories: abandoned ones are removed, those of running processes stay."""
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_dir.extraction import staged_directory
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.workspace.beneath import Beneath


def staging_in(directory: Path) -> Staging:
    return Staging(Beneath(str(directory)), 'tree', sync=False)


def test_an_abandoned_directory_goes_and_one_at_work_stays(tmp_path: Path) -> None:
    abandoned = tmp_path / '.tree.occystrap-0123456789abcdef'
    (abandoned / 'deep').mkdir(parents=True)
    first, second = staging_in(tmp_path), staging_in(tmp_path)
    first.begin()
    second.begin()
    assert not abandoned.exists() and os.path.isdir(first.inside.path) and os.path.isdir(second.inside.path)


def test_a_new_directory_with_an_abandoned_name_stays(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / '.tree.occystrap-0123456789abcdef'
    path.mkdir()
    lock = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:  # after the look and before the lock another removed it, and a third made it
            shutil.rmtree(path)
            path.mkdir()
        lock(descriptor, operation)
    monkeypatch.setattr(fcntl, 'flock', flock)
    staging_in(tmp_path).begin()
    assert path.is_dir()


def test_replaced_trees_may_be_removed_by_other_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'tree' / 'old').mkdir(parents=True)
    rename = staged_directory._rename

    def exchanged(place: Beneath, name: str, target: str) -> bool:
        replaced = rename(place, name, target)
        shutil.rmtree(tmp_path / name)  # a run that began meanwhile took it for abandoned
        return replaced
    monkeypatch.setattr(staged_directory, '_rename', exchanged)
    first = staging_in(tmp_path)
    first.begin()
    (Path(first.inside.path) / 'new').touch()
    first.commit()
    assert os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['new']


def test_a_destination_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    staging = Staging(Beneath(str(tmp_path)), 'tree', False, lambda names: names == ['old'])
    staging.begin()
    (Path(staging.inside.path) / 'new').touch()
    (tmp_path / 'tree').mkdir()
    (tmp_path / 'tree/thesis.txt').touch()
    with pytest.raises(OutputError, match='/tree contains other files now: choose a new directory'):
        staging.commit()
    staging.discard()
    assert os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['thesis.txt']


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'home').mkdir()
    (tmp_path / 'tree').symlink_to('home')
    staging = staging_in(tmp_path)
    staging.begin()
    with pytest.raises(OutputError, match='/tree'):
        staging.commit()
    staging.discard()
    assert sorted(os.listdir(tmp_path)) == ['home', 'tree'] and os.listdir(tmp_path / 'home') == []


@pytest.mark.parametrize('name', ['n' * 227, 'n' * 228, 'n' * 255, 'ü' * 127])
def test_the_longest_names(name: str, tmp_path: Path) -> None:
    abandoned, other = (Staging(Beneath(str(tmp_path)), each, sync=False) for each in (name, name[:-1] + 'm'))
    for each in (abandoned, other):
        each.begin()
    assert abandoned._lock is not None
    os.close(abandoned._lock)  # as if its process was killed
    staging = Staging(Beneath(str(tmp_path)), name, sync=False)
    staging.begin()
    assert not os.path.isdir(abandoned.inside.path) and os.path.isdir(other.inside.path)
    staging.commit()
    other.discard()
    assert os.listdir(tmp_path) == [name]
