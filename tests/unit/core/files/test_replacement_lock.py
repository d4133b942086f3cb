"""The lock under which what a name leads to is checked and replaced."""
import fcntl
import os
import threading
from pathlib import Path

import pytest

from occystrap_core.files import locks, remove_abandoned_lock, replacement_lock


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    order, begun = list[str](), threading.Event()

    def second() -> None:
        begun.set()
        with replacement_lock(f'{tmp_path}/a.tar'):
            order.append('second')
    thread = threading.Thread(target=second)
    with replacement_lock(f'{tmp_path}/a.tar'):
        thread.start()
        begun.wait()
        with replacement_lock(f'{tmp_path}/b.tar'):
            order.append('another name')
        order.append('first')
    thread.join()
    assert order == ['another name', 'first', 'second'] and not os.listdir(tmp_path)


def test_a_locked_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run holds locks of the directories that fields of its destination name."""
    monkeypatch.setattr(locks, '_PATIENCE', 0.1)
    above = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(above, fcntl.LOCK_SH)
    with (replacement_lock(f'{tmp_path}/a.tar'), pytest.raises(TimeoutError, match='another process is about to'),
          replacement_lock(f'{tmp_path}/a.tar')):
        pass
    os.close(above)


def test_what_a_killed_run_left_is_used_and_removed(tmp_path: Path) -> None:
    with replacement_lock(f'{tmp_path}/a.tar'):
        name, = os.listdir(tmp_path)
    (tmp_path / name).touch()
    with replacement_lock(f'{tmp_path}/a.tar'):
        remove_abandoned_lock(f'{tmp_path}/a.tar')
        assert os.listdir(tmp_path), 'it is in use'
    assert not os.listdir(tmp_path)
    (tmp_path / name).touch()
    remove_abandoned_lock(f'{tmp_path}/a.tar')
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('what', ['link', 'content', 'directory', 'pipe'])
def test_what_is_no_lock_stays(what: str, tmp_path: Path) -> None:
    with replacement_lock(f'{tmp_path}/a.tar'):
        name, = os.listdir(tmp_path)
    planted, target = tmp_path / name, tmp_path / 'target'
    target.touch()
    {'link': lambda: planted.symlink_to(target), 'content': lambda: planted.write_text('mine'),
     'directory': planted.mkdir, 'pipe': lambda: os.mkfifo(planted)}[what]()
    with replacement_lock(f'{tmp_path}/a.tar'):
        pass
    remove_abandoned_lock(f'{tmp_path}/a.tar')
    assert os.path.lexists(planted) and target.exists()
