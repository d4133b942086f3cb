"""Files that are being written: at their end or at any offset, flushed early with sync, closed once."""
import os
from pathlib import Path

import pytest

from occystrap_core.files import WRITEBACK, PartialFile, partial_file


def partial(path: Path, sync: bool = False) -> PartialFile:
    return PartialFile(os.open(path / 'file', os.O_RDWR | os.O_CREAT), sync)


def test_data_is_appended_and_written_at_offsets(tmp_path: Path) -> None:
    file = partial(tmp_path)
    file.write(b'one ')
    file.write_at(b'three', 8)
    file.write(memoryview(b'two '))
    file.close()
    assert (tmp_path / 'file').read_bytes() == b'one two three'


def test_a_closed_file_has_no_descriptor_and_may_be_closed_again(tmp_path: Path) -> None:
    file = partial(tmp_path)
    file.close()
    file.close()
    with pytest.raises(ValueError, match='closed'):
        file.fileno()


@pytest.mark.parametrize('sync', [False, True])
def test_with_sync_writing_to_the_device_begins_early_and_has_ended_after_flush(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool) -> None:
    begun, flushed = [], []
    monkeypatch.setattr(partial_file, 'start_writeback', lambda _, offset, count: begun.append((offset, count)))
    monkeypatch.setattr(os, 'fsync', flushed.append)
    file = partial(tmp_path, sync)
    descriptor, half = file.fileno(), bytes(WRITEBACK // 2)
    for _ in range(5):
        file.write(half)
    file.written(7, 0)
    file.flush()
    file.close()
    assert begun == ([(0, WRITEBACK), (WRITEBACK, WRITEBACK)] if sync else [])
    assert flushed == ([descriptor] if sync else [])
