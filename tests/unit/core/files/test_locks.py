"""Locks on work in progress: files that have lost their name are not locked, and unlocked ones are removed."""
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.files import is_current, lock_if_current, remove_if_abandoned


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def status_of(path: Path) -> Callable[[], os.stat_result | None]:
    return lambda: os.lstat(path) if os.path.lexists(path) else None


def is_open(descriptor: int) -> bool:
    return os.path.exists(f'/proc/self/fd/{descriptor}')


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / 'work'
    path.touch()
    return path


def test_a_file_that_was_removed_or_replaced_is_not_current(work: Path) -> None:
    descriptor = opened(work)
    assert is_current(descriptor, status_of(work))
    work.rename(f'{work}.old')
    assert not is_current(descriptor, status_of(work))
    work.touch()
    assert not is_current(descriptor, status_of(work))
    assert lock_if_current(descriptor, fcntl.LOCK_EX, status_of(work)) is None and not is_open(descriptor)


def test_locked_files_are_kept_and_others_are_removed(work: Path) -> None:
    holder = lock_if_current(opened(work), fcntl.LOCK_EX, status_of(work))
    assert holder is not None
    other = opened(work)
    assert not remove_if_abandoned(other, status_of(work), work.unlink) and work.exists() and not is_open(other)
    os.close(holder)
    other = opened(work)
    assert remove_if_abandoned(other, status_of(work), work.unlink) and not work.exists() and not is_open(other)


def test_a_directory_may_be_locked_too(tmp_path: Path) -> None:
    assert remove_if_abandoned(opened(tmp_path), status_of(tmp_path), tmp_path.rmdir) and not tmp_path.exists()


def test_removal_can_wait_for_the_lock(work: Path) -> None:
    holder, waiting = opened(work), opened(work)
    fcntl.flock(holder, fcntl.LOCK_EX)
    timer = threading.Timer(0.1, os.close, [holder])
    timer.start()
    assert remove_if_abandoned(waiting, status_of(work), work.unlink, wait=True) and not work.exists()
    timer.join()


@pytest.mark.parametrize('optional', [False, True])
def test_a_held_lock_is_not_a_file_system_without_locks(work: Path, optional: bool) -> None:
    holder, other = opened(work), opened(work)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        lock_if_current(other, fcntl.LOCK_EX | fcntl.LOCK_NB, status_of(work), optional=optional)
    assert not is_open(other)
    os.close(holder)


def test_a_file_system_without_locks_is_an_error_unless_locks_are_optional(work: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def without(descriptor: int, operation: int) -> None:
        raise OSError(37, 'No locks available')
    monkeypatch.setattr(fcntl, 'flock', without)
    descriptor = opened(work)
    assert lock_if_current(descriptor, fcntl.LOCK_EX, status_of(work), optional=True) == descriptor
    with pytest.raises(OSError, match='No locks available'):
        lock_if_current(descriptor, fcntl.LOCK_EX, status_of(work))
    assert not is_open(descriptor)


def test_a_removal_that_fails_unlocks(work: Path) -> None:
    descriptor = opened(work)
    with pytest.raises(IsADirectoryError):
        remove_if_abandoned(descriptor, status_of(work), lambda: os.unlink(work.parent))
    assert work.exists() and not is_open(descriptor)
