"""Times that a file system cannot hold, whatever the file system that the tests run on."""
import os
from pathlib import Path

import pytest

from occystrap_dir.extraction.attributes import Attributes, Setter

HELD = ((1 << 31) - 1) * 10**9
"""What the coarsest file systems make of any later time, in nanoseconds."""


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files keep no time after HELD."""
    real = os.utime
    monkeypatch.setattr(os, 'utime', lambda file, ns: real(file, ns=(min(ns[0], HELD), min(ns[1], HELD))))


@pytest.mark.usefixtures('coarse')
def test_the_time_that_is_kept_is_recorded_and_the_difference_reported(tmp_path: Path) -> None:
    path = tmp_path / 'file'
    setter = Setter(rootless=False)
    with path.open('wb') as file:
        keywords = setter.file(file.fileno(), Attributes(0o644, os.geteuid(), os.getegid(), 1 << 70))
    assert f'time={HELD // 10**9}.'.encode() in keywords
    assert setter.notes == ['1 time that the file system cannot store, set to the nearest possible']
