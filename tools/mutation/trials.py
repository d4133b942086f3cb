"""Trying mutants: in a copy of the tree, by forks of a process that has the libraries imported already."""
import gc
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mutation.changes import ROOT, Mutant

PYTHON = ROOT / '.venv/bin/python'
COPIED = ('occystrap_core', 'plugins', 'tests', 'docs', 'benchmarks', 'tools', 'pyproject.toml', 'README.md')
LIBRARIES = ('asyncio', 'click', 'cryptography', 'deflate', 'docker', 'httpx', 'hypothesis', 'importlib_metadata',
             'isal.igzip', 'multiprocessing', 'pluggy', 'pytest', 'rich.progress', 'starlette.applications',
             'unittest.mock', 'uvicorn', 'yaml', 'zstandard')
MEMORY = 8_000_000 << 10


def import_libraries() -> None:
    """Import what tests need besides the sources and themselves, for the forks to come."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()


class Copy:
    """A copy of the tree in which mutants are tried, one after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns('__pycache__', 'node_modules'))
            else:
                shutil.copy(source, directory / name)
        (directory / '.venv').symlink_to(ROOT / '.venv')
        (directory / 't').mkdir()  # short, for the paths of sockets
        for each in (directory, directory / 't'):
            each.chmod(0o1777)
        # Compiled files that are known by a digest: two changes of one length within a second stay two.
        subprocess.run([PYTHON, '-m', 'compileall', '-qq', '--invalidation-mode', 'checked-hash', 'occystrap_core',
                        'plugins', 'tests'], cwd=directory, check=False)
        self._require_own_files()

    def environment(self) -> dict[str, str]:
        """Return the variables with which programs import the copy."""
        own = {'PYTHONPATH': f'{self.directory}:{self.directory}/plugins', 'TMPDIR': str(self.directory / 't'),
               'PYTHONDONTWRITEBYTECODE': '1'}
        return {**os.environ, **own}

    def run(self, tests: Sequence[str], seconds: float, mutant: Mutant | None = None) -> str:
        """Return which test fails, or that they take too long; nothing if all pass."""
        file = self.directory / (mutant.file if mutant else 'pyproject.toml')
        before = file.read_bytes()
        file.write_bytes(mutant.applied(before) if mutant else before)
        try:
            return self._run(tests, seconds)
        finally:
            file.write_bytes(before)

    def _run(self, tests: Sequence[str], seconds: float) -> str:
        result = self.directory / 'result'
        result.write_text('')
        child = os.fork()
        if not child:
            self._be_pytest(tests)
        code = _wait(child, time.monotonic() + seconds)
        _end_group(child)
        for left in (self.directory / 't').iterdir():
            shutil.rmtree(left, ignore_errors=True)
        failed = result.read_text()
        if code is None:
            return f'took more than {seconds:.0f} s'
        return failed or ('' if code in (0, 5) else f'pytest ended with {code}')

    def _be_pytest(self, tests: Sequence[str]) -> None:
        code = 99
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.chdir(self.directory)
            os.environ.update(self.environment())
            sys.path[0:1] = [str(self.directory), f'{self.directory}/plugins']
            sys.dont_write_bytecode = True
            output = os.open(self.directory / 'output', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for number in (1, 2):
                os.dup2(output, number)
            files = dict.fromkeys(test.partition('::')[0] for test in tests)
            code = int(pytest.main(['-q', '-x', '-n', '0', '-p', 'no:cacheprovider', '--tb=no', '--no-header', *files],
                                   plugins=[Chosen(tests, self.directory / 'result')]))
        finally:
            os._exit(code)

    def _require_own_files(self) -> None:
        program = 'import occystrap_core, occystrap_tar; print(occystrap_core.__file__, occystrap_tar.__file__)'
        found = subprocess.run([PYTHON, '-c', program], cwd='/', env=self.environment(), capture_output=True, text=True)
        if not all(path.startswith(str(self.directory)) for path in found.stdout.split() or ['']):
            sys.exit(f'the copy is not what is imported: {found.stdout}{found.stderr}')


class Chosen:
    """A plugin of pytest that runs these tests in this order, and writes the name of one that fails to a file."""

    def __init__(self, tests: Sequence[str], result: Path) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self._result = result

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop the others, and sort; a file or directory among the tests is for all of its tests."""
        places = [(self._place(item.nodeid), item) for item in items]
        items[:] = [item for place, item in sorted(places, key=lambda each: each[0] or 0) if place is not None]

    def _place(self, name: str) -> int | None:
        if name in self._order:
            return self._order[name]
        above = [place for test, place in self._order.items() if '::' not in test and name.startswith(test)]
        return above[0] if above else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the first failure."""
        if report.failed:
            self._result.write_text(f'{report.nodeid} ({report.when})')

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be imported."""
        if report.failed:
            self._result.write_text(f'{report.nodeid} (import)')


def _wait(child: int, until: float) -> int | None:
    """Return the exit code, None if time ran out."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            _end_group(child)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
