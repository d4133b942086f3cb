"""Folders in the making: abandoned ones go, those of runs at work stay, whoever looks at them when."""
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from occystrap_dir.extraction import staging
from occystrap_dir.extraction.staging import Staging


def test_an_abandoned_folder_goes_and_one_at_work_stays(tmp_path: Path) -> None:
    abandoned = tmp_path / '.tree.occystrap-0'
    (abandoned / 'deep').mkdir(parents=True)
    first, second = Staging(f'{tmp_path}/tree', False), Staging(f'{tmp_path}/tree', False)
    first.begin()
    second.begin()
    assert not abandoned.exists() and os.path.isdir(first.path) and os.path.isdir(second.path)


def test_a_folder_made_anew_under_a_name_that_was_abandoned_stays(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / '.tree.occystrap-0'
    path.mkdir()
    lock = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:  # after the look and before the lock another removed it, and a third made it
            shutil.rmtree(path)
            path.mkdir()
        lock(descriptor, operation)
    monkeypatch.setattr(fcntl, 'flock', flock)
    Staging(f'{tmp_path}/tree', False).begin()
    assert path.is_dir()


def test_what_was_replaced_may_be_removed_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'tree' / 'old').mkdir(parents=True)
    exchange = staging._take_place

    def exchanged(path: str, target: str) -> bool:
        replaced = exchange(path, target)
        shutil.rmtree(path)  # a run that began meanwhile took it for abandoned
        return replaced
    monkeypatch.setattr(staging, '_take_place', exchanged)
    first = Staging(f'{tmp_path}/tree', False)
    first.begin()
    (Path(first.path) / 'new').touch()
    first.commit()
    assert os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['new']
