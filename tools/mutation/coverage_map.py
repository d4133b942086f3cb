"""Which tests run which lines, found out by one run of all of them with every process traced."""
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutation.changes import ROOT, Mutant, statement_lines

TRACING = Path(__file__).resolve().parent / 'tracing'


@dataclass(frozen=True)
class CoverageMap:
    """`seconds` that each test that passes takes, and by file and line the tests that run it."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that run the statement of a mutant, the fastest first; of a module's, those of its file."""
        of_file = self.lines.get(mutant.file, {})
        lines = statement_lines(mutant)
        found = {test for line in (of_file if lines is None else lines) for test in of_file.get(line, ())}
        return sorted(found & self.seconds.keys(), key=lambda test: (self.seconds[test], test))

    def save(self, path: Path) -> None:
        """Write it to a file, for `load`; there tests have numbers."""
        numbers = {test: number for number, test in enumerate(self.seconds)}
        lines = {file: {line: [numbers[test] for test in tests if test in numbers] for line, tests in of_file.items()}
                 for file, of_file in self.lines.items()}
        path.write_text(json.dumps({'seconds': self.seconds, 'lines': lines}))

    @classmethod
    def load(cls, path: Path) -> 'CoverageMap':
        """Return what `save` wrote."""
        found = json.loads(path.read_text())
        names = list(found['seconds'])
        lines = {file: {int(line): [names[number] for number in numbers] for line, numbers in of_file.items()}
                 for file, of_file in found['lines'].items()}
        return cls(found['seconds'], lines)


class Durations:
    """A plugin of pytest that adds up how long each test takes, and forgets those that do not pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.not_passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase."""
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.not_passed.add(report.nodeid)

    def passed(self) -> dict[str, float]:
        """Return the seconds by test."""
        return {test: seconds for test, seconds in self.seconds.items() if test not in self.not_passed}


def collect(directory: Path, environment: dict[str, str], files: list[str], tests: list[str], jobs: int) -> CoverageMap:
    """Run the tests in a copy of the tree, traced, and return what they ran; failing ones are left out."""
    trace = directory / 'trace'
    trace.touch()
    trace.chmod(0o666)
    traced = '\n'.join(str(directory / file) for file in files)
    variables = {**environment, 'MUTANTS_TRACED': traced, 'MUTANTS_TRACE': str(trace),
                 'PYTHONPATH': f'{TRACING}:{environment["PYTHONPATH"]}'}
    program = 'import sys; from mutation.coverage_map import run_tests; run_tests(*sys.argv[1:])'
    done = subprocess.run([sys.executable, '-c', program, 'seconds', str(jobs), *tests], cwd=directory,
                          env={**variables, 'PYTHONPATH': f'{variables["PYTHONPATH"]}:{ROOT}/tools'})
    if done.returncode > 1:
        sys.exit(f'the traced run of the tests ended with code {done.returncode}')
    seconds = json.loads((directory / 'seconds').read_text())
    lines: dict[str, dict[int, list[str]]] = {file: defaultdict(list) for file in files}
    with open(trace, errors='replace') as records:
        for file, line, test in {_parsed(record) for record in records}:
            if test:
                lines[files[file]][line].append(test)
    trace.unlink()
    return CoverageMap(seconds, lines)


def _parsed(record: str) -> tuple[int, int, str]:
    file, line, test = record.rstrip('\n').split('\t')
    return int(file), int(line), test.rpartition(' (')[0]


def run_tests(seconds: str, jobs: str, *tests: str) -> None:
    """Run tests in this process and its workers, and write how long each took into the file `seconds`."""
    durations = Durations()
    code = pytest.main(['-q', '-n', jobs, '--dist', 'loadfile', '-p', 'no:cacheprovider', '-p', 'sitecustomize',
                        '--tb=line', *tests],
                       plugins=[durations])
    Path(seconds).write_text(json.dumps(durations.passed()))
    sys.exit(int(code))
