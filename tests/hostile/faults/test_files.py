"""The same for the other files that the program writes: receipts, the layer cache, what --resume reads, logins."""
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.hostile.faults.ground import Ground, one_line
from tests.hostile.faults.shim import Plan
from tests.hostile.writers.images import NEW, OLD
from tests.services.command_line import CommandResult, WarmCommandLine
from tests.unit.registry.scripted import Scripted

Judge = Callable[[Ground, CommandResult], None]


class FileGround(Ground):
    """A job, and what judges what came of it."""

    def __init__(self, directory: Path, run: WarmCommandLine, plan: Plan, command: Sequence[str | Path],
                 judge: Judge) -> None:
        super().__init__(directory, run, plan, command)
        self._judge = judge

    def judge(self, result: CommandResult) -> None:
        """Fail unless all is as it must be after a run with a fault; and the next run is as if there had been none."""
        self._judge(self, result)
        self.do().assert_success()
        self._judge(self, CommandResult((), 0, '', ''))
        assert not [path for path in self.root.rglob('*') if path.name.endswith(('.partial', '-journal'))], 'rests'


def receipts(path: Path) -> list[dict[str, Any]]:
    """Return what each whole line says."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith('\n')]


def verdicts_in(path: Path) -> dict[str, tuple[str, str]]:
    """Return the outcome and the image ID in the last receipt of each destination."""
    return {each['path']: (each['verdict']['outcome'], each['image_id']) for each in receipts(path)}


def test_receipts(directory: Path, run: WarmCommandLine, plan: Plan, archives: dict[str, str]) -> None:
    file, mine, others = directory / 'root/receipts.jsonl', directory / 'mine.tar', directory / 'others.tar'

    def judge(ground: Ground, result: CommandResult) -> None:
        recorded = verdicts_in(file)
        old, new = (('verified', images[variant]) for variant in (OLD, NEW))
        assert recorded[str(others)] == old, 'the receipt of another image is lost'
        assert recorded[str(mine)] in ((new,) if result.code == 0 else (old, new)), 'the receipt is lost'
        if result.code:
            one_line(result, str(file))
        else:
            ground.command('verify', file, '--verify=full').assert_success()

    ground = FileGround(directory, run, plan, ('process', archives[NEW], f'tar://{mine}', '--receipt', file), judge)
    for path in (mine, others):
        ground.command('process', archives[OLD], f'tar://{path}', '--receipt', file).assert_success()
    images = {OLD: verdicts_in(file)[str(mine)][1]}
    calls = ground.begin()
    images[NEW] = verdicts_in(file)[str(mine)][1]
    problems = ground.problems(calls)
    assert not problems, problems


def test_the_layer_cache(directory: Path, run: WarmCommandLine, plan: Plan, archives: dict[str, str]) -> None:
    cache, out, proof = directory / 'root/cache', directory / 'layout', directory / 'proof.jsonl'

    def judge(ground: Ground, result: CommandResult) -> None:
        if result.code:
            one_line(result, str(cache))
        else:
            ground.command('verify', proof, '--verify=full').assert_success()
        with closing(sqlite3.connect(cache)) as opened:
            (count, ), = opened.execute('SELECT count(*) FROM layers')
            assert [('ok', )] == opened.execute('PRAGMA integrity_check').fetchall() and count >= kept[0]

    ground = FileGround(directory, run, plan, (
        'process', archives[NEW], f'layout://{out}', '-f', 'normalize-timestamps', '-j', '1', '--layer-cache', cache,
        '--receipt', proof), judge)
    ground.command('process', archives[OLD], f'layout://{out}', '-f', 'normalize-timestamps', '--layer-cache',
                   cache).assert_success()
    with closing(sqlite3.connect(cache)) as opened:
        kept, = opened.execute('SELECT count(*) FROM layers')
    problems = ground.problems(ground.begin(), share=2)
    assert not problems, problems


def test_a_run_that_goes_on(directory: Path, run: WarmCommandLine, plan: Plan, archives: dict[str, str]) -> None:
    """One of two images is there already according to the receipts; the other one, and its receipt, are added."""
    file, todo, root = directory / 'root/receipts.jsonl', directory / 'todo.toml', directory / 'root'

    def judge(ground: Ground, result: CommandResult) -> None:
        recorded = verdicts_in(file)
        assert recorded[str(root / 'old')][0] == 'verified', 'the receipt of what was there is lost'
        if result.code:
            reasons = [line for line in result.err.splitlines() if line.startswith(('FAILED ', 'occystrap: error: '))]
            assert result.code == 1 and len(reasons) in (1, 2), 'not one reason for each image that failed'
            assert all(str(root) in each for each in reasons), 'a reason that names no place'
            assert 'internal error' not in result.err and 'to its author' not in result.err, 'an internal error'
        else:
            assert recorded[str(root / 'new')][0] == 'verified', 'a success without a receipt'
            ground.command('verify', file, '--verify=full').assert_success()

    todo.write_text(''.join(f'[[images]]\nsource = "{archives[each]}"\ndestination = "dir://{root}/{each}"\n'
                            for each in (OLD, NEW)))
    ground = FileGround(directory, run, plan, ('process', f'plan://{todo}', '--resume', file, '--receipt', file,
                                               '-J', '1', '-j', '1'), judge)
    ground.command('process', archives[OLD], f'dir://{root}/old', '--receipt', file).assert_success()
    problems = ground.problems(ground.begin(), share=4)  # most calls are those of dir://, and of receipts
    assert not problems, problems


def test_logins(directory: Path, run: WarmCommandLine, plan: Plan) -> None:
    file = directory / 'root/config.json'
    before = {'auths': {'other.example': {'auth': 'bWU6cGFzc3dvcmQ='}}, 'psFormat': 'what docker keeps there'}

    def judge(ground: Ground, result: CommandResult) -> None:
        now = json.loads(file.read_text())
        logins, names = now['auths'].pop(server.host, None), [path.name for path in file.parent.iterdir()]
        assert now == before and file.stat().st_mode & 0o777 == 0o600, 'other logins are lost, or shown'
        if result.code:
            one_line(result, str(file))
        else:
            assert logins, 'a success without a login'
            assert names == ['config.json'], 'something temporary was left'

    with Scripted() as server:
        ground = FileGround(directory, run, plan, ('login', server.host, '--username', 'me', '--password-stdin',
                                                   '--authfile', file), judge)
        ground.input = 'password\n'
        file.write_text(json.dumps(before))
        file.chmod(0o600)
        problems = ground.problems(ground.begin(), share=3)
    assert not problems, problems
