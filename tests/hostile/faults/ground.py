"""One job of the program, the same each time but for the call that fails, and what must be true afterwards."""
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.faults.choice import faults_of
from tests.hostile.faults.shim import Call, Fault, Plan
from tests.hostile.writers.places import InDirectory, Tree
from tests.services.command_line import CommandResult, WarmCommandLine

_STAYS = re.compile('note: (.* keeps temporary files|a temporary file stays beside .*): .*; the next run tries again.*')
"""What a success may say besides: what it could not remove."""


class Ground(ABC):
    """A directory with `root`, below which calls count and fail; `root` is the same before each run."""

    input = ''
    """What the program reads."""

    def __init__(self, directory: Path, run: WarmCommandLine, plan: Plan, command: Sequence[str | Path]) -> None:
        self.directory, self.root, self._run = directory, directory / 'root', run
        self._plan, self._command = plan, command
        self._is_restored = False

    def begin(self) -> list[Call]:
        """Take what is there for the old state, do the job once without any fault, and return its calls."""
        subprocess.run(['cp', '-a', self.root, self.directory / 'backup'], check=True)
        self.do().assert_success()
        return self._plan.calls()

    def problems(self, calls: Sequence[Call], share: int = 1) -> str:
        """Do the job with each of the faults, or one in `share`; return what is wrong afterwards, '' if all is well."""
        found = [problem for fault in faults_of(calls, self.root, share) if (problem := self._problem(fault))]
        return '\n\n'.join([f'{len(found)} problems', *found] if found else [])

    def do(self, fault: Fault | None = None) -> CommandResult:
        """Do the job."""
        with self._plan.watching(self.root, fault):
            return self.command(*self._command)

    def command(self, *words: str | Path) -> CommandResult:
        """Run another command there."""
        return self._run(self.directory, self.directory, *words, input=self.input)

    @abstractmethod
    def judge(self, result: CommandResult) -> None:
        """Fail unless all is as it must be after a run with a fault."""

    def _problem(self, fault: Fault) -> str:
        if not self._is_restored:
            self._restore()
        self._is_restored = False
        result = self.do(fault)
        if not self._plan.failed:
            return ''
        hit = self._plan.calls()[fault.call]
        try:
            self.judge(result)
        except AssertionError as problem:
            return f'{fault}, at {hit}: {problem}\n{result}'
        return ''

    def _restore(self) -> None:
        subprocess.run(['rm', '-rf', self.root], check=True)
        subprocess.run(['cp', '-a', self.directory / 'backup', self.root], check=True)


class CopyGround(Ground):
    """A copy over an older image, or to where nothing is."""

    def __init__(self, directory: Path, run: WarmCommandLine, plan: Plan, source: str, place: InDirectory,
                 *options: str) -> None:
        self._place, self._proof = place, directory / 'proof.jsonl'
        super().__init__(directory, run, plan, ('process', source, place.uri, '-j', '1', '--temp-dir',
                                                directory / 'root', '--receipt', self._proof, *options))

    def begin(self) -> list[Call]:
        """Also keep what is there before and after."""
        self._before, self._seen = self._place.tree(), [self._place.seen()]
        calls = super().begin()
        self._after = self._place.tree()
        self._seen.append(self._place.seen())
        assert self._after != self._before and self._seen[0] != self._seen[1]
        return calls

    def do(self, fault: Fault | None = None) -> CommandResult:
        """Do the job, without earlier proof of it."""
        self._proof.unlink(missing_ok=True)
        return super().do(fault)

    def judge(self, result: CommandResult) -> None:
        """Fail unless all is verified, or the failure is reported and the old target whole; the next run repairs it."""
        if result.code == 0:
            self._is_proved(result)
        else:
            one_line(result, str(self.root))
        tree = self._place.tree()
        self._is_restored = tree == self._before
        if tree == self._after or result.code and self._is_restored:
            return
        assert self._place.seen() in self._seen[result.code == 0:], 'neither the old image is there nor the new one'
        rerun = self.do()
        assert rerun.code == 0, f'the next run fails\n{rerun}'
        tree = self._place.tree()
        assert tree == self._after, f'the next run leaves {_differences(tree, self._after)}'

    def _is_proved(self, result: CommandResult) -> None:
        *notes, last = lines_of(result)
        assert last.endswith('1/1 verified') and all(map(_STAYS.fullmatch, notes)), 'a success that says more'
        verified = self.command('verify', self._proof, '--verify=full')
        assert verified.code == 0, f'exit code 0, and not proved\n{verified}'


def lines_of(result: CommandResult) -> list[str]:
    """Return the lines on stderr, without those of the digest of the receipts and how to resume."""
    return [line for line in result.err.splitlines() if not line.startswith(('Receipts: ', 'Resume: '))]


def one_line(result: CommandResult, name: str) -> None:
    """Fail unless the exit code is 1 and stderr has exactly one line before the summary, which names what failed.

    Where what was written cannot be read back, that is said of each thing, before the summary, as is what stays.
    """
    assert result.code == 1, f'exit code {result.code}'
    unexpected = 'internal error', 'to its author', 'Traceback'
    assert not any(each in result.err for each in unexpected), 'an internal error'
    *others, last = lines_of(result)
    if others and last.startswith('Summary: 0/1 image, '):
        *others, last = others
    if last.startswith('Summary: 1/1 image, ') and last.endswith(' 0/1 verified, 1 UNVERIFIED'):
        others = [each for each in others if not _STAYS.fullmatch(each)]
        assert others and all(': cannot be read: ' in each and name in each for each in others), 'not a line for each'
    else:
        assert not others and last.startswith('occystrap: error: ') and name in last, f'not one line on {name}'


def _differences(one: Tree, other: Tree) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
