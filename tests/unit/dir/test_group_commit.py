"""Images that end together are listed by one write: what is written grows with their number, not with its square."""
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from occystrap_dir.workspace.group_commit import GroupCommit


class Disk:
    """Writes a list anew each time, which takes time by its length, on a clock of its own."""

    def __init__(self) -> None:
        self.listed: list[int] = []
        self.now, self.written, self.writes = 0.0, 0, 0

    def write(self, items: Sequence[int]) -> None:
        self.listed += items
        self.written += len(self.listed)
        self.writes += 1
        self.now += 1e-5 * len(self.listed)


def entries_written(count: int) -> float:
    """Return how many entries are written for each of `count` images, one of which ends every 4 ms."""
    disk = Disk()
    group: GroupCommit[int] = GroupCommit(disk.write, lambda: disk.now)
    for item in range(count):
        group.add(item)
        disk.now += 0.004
        if batch := group._begun() if group._due <= disk.now or len(group._ready) >= 64 else []:
            group._write_group(batch)
    assert disk.listed == list(range(len(disk.listed))) and count - len(disk.listed) < 64
    return disk.written / count


def test_bytes_written_per_image_are_constant() -> None:
    few, many = entries_written(300), entries_written(3000)
    assert many < 1.15 * max(few, 45), (few, many)  # a tenth of 4 ms are 40 entries
    assert entries_written(10) <= 5.5  # a short list is written for each


def test_each_thread_returns_when_its_item_is_listed() -> None:
    lock, listed = threading.Lock(), set[str]()

    def write(items: Sequence[str]) -> None:
        assert lock.acquire(blocking=False), 'two at once'
        listed.update(items)
        lock.release()
    group: GroupCommit[str] = GroupCommit(write)

    def commit(name: str) -> bool:
        item = name
        group.add(item)
        group.wait(item, lambda: None)
        return item in listed
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(commit, [f'image {number}' for number in range(200)]))


def test_one_that_cannot_be_listed_does_not_fail_the_others() -> None:
    listed: list[str] = []

    def write(items: Sequence[str]) -> None:
        if 'bad' in items:
            raise OSError('bad cannot be listed')
        listed.extend(items)
    group: GroupCommit[str] = GroupCommit(write)
    items = ['first', 'bad', 'last']
    for item in items:
        group.add(item)
    for item in items:
        if item == 'bad':
            with pytest.raises(OSError, match='bad cannot be listed'):
                group.wait(item, lambda: None)
        else:
            group.wait(item, lambda: None)
    assert listed == ['first', 'last']


def test_who_waits_for_others_can_be_interrupted() -> None:
    group: GroupCommit[str] = GroupCommit(lambda items: None, lambda: 0.0)
    group._due = 1.0
    group.add('x')

    def interrupted() -> None:
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        group.wait('x', interrupted)
