"""Tests of killed runs say so when they have nothing to test with, and when their own work fails."""
import subprocess
from pathlib import Path

import pytest

from occystrap_core.testing.writer_conformance import WriterConformance


class Layouts(WriterConformance):
    plugin = 'occystrap_dir.plugin'
    uri = 'layout://{directory}/image:stable'
    private = ('.occystrap',)


@pytest.mark.parametrize('what', ['beside', 'link'])
def test_nothing_passes_for_left_alone_if_nothing_could_be_put_there(what: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match='is private'):
        Layouts().test_nothing_else_is_removed_with_what_a_killed_run_left(tmp_path, what)


def test_a_copy_of_a_killed_run_that_fails_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        Layouts()._kill_in_a_layer(tmp_path / 'at-work', tmp_path / 'missing/left', False)
