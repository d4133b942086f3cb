"""Reading back from the device: what could not be flushed to it is not taken for written."""
import errno
import os
from pathlib import Path

import pytest

from occystrap_core.files import forget_cached


def _failing(number: int) -> object:
    def flush(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))
    return flush


@pytest.mark.parametrize('number', [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_flush_that_fails_is_an_error(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'fdatasync', _failing(number))
    with (tmp_path / 'file').open('wb') as file, pytest.raises(OSError, match=os.strerror(number)):
        forget_cached(file.fileno())


def test_a_file_system_that_is_read_only_has_nothing_to_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'fdatasync', _failing(errno.EROFS))
    with (tmp_path / 'file').open('wb') as file:
        forget_cached(file.fileno())
