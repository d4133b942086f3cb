"""Tests run most commands one after the other in one process: each is what it is in a process of its own."""
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine, CommandResult, WarmCommandLine, warm_command_line

RUNS: tuple[tuple[tuple[str, ...], str, dict[str, str]], ...] = (
    (('process', 'tar://sample.tar', 'dir://out', '-O', 'json'), '', {}),
    (('process', 'list://-', 'dir://one', '--dry-run'), 'tar://sample.tar\nno:place://at all\n', {}),
    (('process', 'list://-', 'dir://two', '--dry-run'), 'tar://sample.tar\n', {}),
    (('process', 'tar://sample.tar', 'layout://layout'), '', {'OCCYSTRAP_VERIFY': 'full'}),
    (('process', 'tar://sample.tar', 'layout://layout'), '', {}),
    (('process', 'tar://nothing.tar', 'dir://none'), '', {}),
    (('check', 'dir://out'), '', {'OCCYSTRAP_DISABLE_PLUGINS': 'occystrap-dir'}),
    (('check', 'dir://out', '--debug'), '', {}),
    (('check', 'dir://out'), '', {}),
    (('verify', 'dir://out'), '', {}),
    (('--version',), '', {}))


@pytest.fixture(scope='module')
def process() -> Iterator[WarmCommandLine]:
    """A process of this file's own, whose forks are kept."""
    with warm_command_line(kept=True) as process:
        yield process


def all_runs(process: WarmCommandLine, directory: Path) -> list[CommandResult]:
    """Run all in a directory with the sample image."""
    from occystrap_core.testing.sample import sample_config, sample_layers
    directory.mkdir()
    write_docker_archive(directory / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')
    environment = CommandLine(directory).environment()
    return [process.captured(words, directory, {**environment, **more}, text, 60.0) for words, text, more in RUNS]


def compared(result: CommandResult, directory: Path) -> tuple[object, ...]:
    """Return the result but for times and the directory."""
    texts = [re.sub(r'\d+[.:]\d+(:\d+)?\S*|\b[0-9a-f]{16}\b', 'N', text.replace(str(directory), ''))
             for text in (result.out, result.err)]
    return result.arguments, result.code, *texts


def test_each_run_is_as_in_a_process_of_its_own(process: WarmCommandLine, tmp_path: Path) -> None:
    kept, forked = tmp_path / 'kept', tmp_path / 'forked'
    results = [compared(each, kept) for each in all_runs(process, kept)]
    assert results == [compared(each, forked) for each in all_runs(replace(process, kept=False), forked)]
    assert [code for _, code, *_ in results] == [0, 2, 0, 0, 0, 1, 2, 0, 0, 0, 0], results


def children(process: WarmCommandLine) -> list[str]:
    """The forks that are there."""
    return Path(f'/proc/{process.server.pid}/task/{process.server.pid}/children').read_text().split()


def test_a_run_that_leaves_something_behind_is_the_last_of_its_process(process: WarmCommandLine, tmp_path: Path,
                                                                       ) -> None:
    def run(*words: str, timeout: float = 60.0) -> list[str]:
        process.captured(words, tmp_path, CommandLine(tmp_path).environment(), '', timeout)
        return children(process)
    first = run('--version')
    assert len(first) == 1 and run('process', 'tar://nothing.tar', 'dir://none') == first
    assert run('check', 'dir://nothing', '--debug') == []
    second = run('--version')
    assert len(second) == 1 and second != first


def test_a_run_that_takes_too_long_is_killed_and_the_next_begins(process: WarmCommandLine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'fifo')
    environment = CommandLine(tmp_path).environment()
    with pytest.raises(subprocess.TimeoutExpired):
        process.captured(('process', 'list://fifo', 'dir://out'), tmp_path, environment, '', 0.3)
    assert process.captured(('--version',), tmp_path, environment, '', 60.0).out.startswith('occystrap ')
