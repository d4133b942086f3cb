"""Code in the directory that the command is started in is never run."""
import subprocess
import sys
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine

MODULES = ('click', 'enum', 'gzip', 'httpx', 'json', 'pluggy', 'signal', 'typing', 'yaml')


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A directory with modules that report when they run."""
    for name in MODULES:
        (tmp_path / f'{name}.py').write_text('raise SystemExit("planted code ran")\n')
    return tmp_path


def occystrap_in(directory: Path, *command: str) -> 'subprocess.CompletedProcess[str]':
    environment = CommandLine(directory / 'home').environment()
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120)


def test_demo_runs_none_of_it(planted: Path) -> None:
    program = Path(sys.executable).with_name('occystrap')
    done = occystrap_in(planted, str(program), 'demo', '--folder', 'here')
    assert done.returncode == 0 and 'planted' not in done.stdout + done.stderr, done
    assert (planted / 'here/mirror/manifest.json').exists()


def test_worker_processes_run_none_of_it(planted: Path) -> None:
    write_docker_archive(planted / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')
    (planted / 'multiprocessing.py').write_text('raise SystemExit("planted code ran")\n')
    program = Path(sys.executable).with_name('occystrap')
    done = occystrap_in(planted, str(program), 'process', 'tar://sample.tar', 'layout://L', '--executor', 'processes')
    assert done.returncode == 0 and 'planted' not in done.stdout + done.stderr, done


@pytest.mark.parametrize('words', [
    ['-m', 'occystrap_core'], ['-moccystrap_core'], ['-W', 'error', '-m', 'occystrap_core'],
    ['-Wignore', '-moccystrap_core'], ['-P', '-m', 'occystrap_core']])
def test_python_m_runs_none_of_it(words: list[str], planted: Path) -> None:
    done = occystrap_in(planted, sys.executable, *words, 'info', 'tar://none.tar')
    assert done.returncode == 1 and 'none.tar' in done.stderr and 'planted' not in done.stdout + done.stderr, done


def test_importing_the_package_leaves_the_path_alone(planted: Path) -> None:
    (planted / 'other.py').write_text('import occystrap_core, own; print(own.__file__)')
    (planted / 'own.py').touch()
    done = occystrap_in(planted, sys.executable, '-m', 'other')
    assert done.returncode == 1 and 'planted code ran' in done.stderr, 'typing is imported from where -m looks first'


def test_a_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'gone').mkdir()
    write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')
    monkeypatch.chdir(tmp_path / 'gone')
    (tmp_path / 'gone').rmdir()
    done = run_here('process', f'tar://{tmp_path}/sample.tar', 'dir://out').assert_code(1)
    assert done.err == 'occystrap: error: the current directory does not exist any more: change to another one\n'
