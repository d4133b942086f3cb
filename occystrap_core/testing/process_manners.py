"""Tests that a plugin leaves the process as it was: stdout, the working directory, open files."""
import os
import time
from pathlib import Path

import pytest

from occystrap_core.testing.conformance import Conformance
from occystrap_core.testing.watched_calls import observed


class ProcessManners(Conformance):
    """What a plugin must not do to the process, in which other plugins are at work."""

    def use(self, directory: Path) -> None:
        """Do once with the plugin what users do, including a failure; the directory is empty."""
        raise NotImplementedError

    def _used(self, directory: Path) -> None:
        directory.mkdir()
        self.use(directory)

    def test_nothing_is_printed(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._used(tmp_path / 'used')
        printed = capfd.readouterr().out
        assert not printed, f'stdout is for results, such as those of -O json, and this is printed there: {printed}'

    def test_the_working_directory_is_not_changed(self, tmp_path: Path) -> None:
        before, changes = os.getcwd(), []

        def observe(event: str, arguments: tuple[object, ...]) -> None:
            if event == 'os.chdir':
                changes.append(arguments[0])
        try:
            with observed(observe):
                self._used(tmp_path / 'used')
        finally:
            os.chdir(before)
        assert changes == [], f'chdir is called, while other threads work with relative paths: {changes[0]}'

    def test_everything_is_closed(self, tmp_path: Path) -> None:
        self._used(tmp_path / 'first')  # what is opened at first use may stay
        before = descriptors()
        for name in ('second', 'third'):
            self._used(tmp_path / name)
        for _ in range(250):  # a server in this process may need more time
            if descriptors() > before:
                time.sleep(0.02)
        assert (left := descriptors() - before) <= 0, f'{left} descriptors are open after the plugin was used twice'


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir('/proc/self/fd'))


def bytes_read() -> int:
    """Return how many bytes this process has read from files so far."""
    lines = Path('/proc/self/io').read_text().splitlines()
    return next(int(line.partition(': ')[2]) for line in lines if line.startswith('rchar'))
