"""Worker processes that are killed, stand still, or kill themselves; and runs that are interrupted."""
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.functional.scale.bulk import COPIED, BulkProcess, assert_all_there, bulk_process, mirror_at
from tests.functional.scale.poison import assert_one_is_poison, poison_plugin
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.services.sixty_images import SixtyImages


@pytest.mark.parametrize('way', [*[signal.SIGKILL] * (5 if EVERYTHING else 1), signal.SIGSTOP])
def test_an_image_of_a_lost_worker_is_copied_again(
        way: signal.Signals, sixty: SixtyImages, destination: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    count = COPIED if EVERYTHING else 12
    executor = 'processes:workers=2,frozen=2'
    with bulk_process(occystrap, sixty.listed(tmp_path, count), destination.host, '--executor', executor) as run:
        run.hear(f'[{random.randint(1, count - 6)}]')
        os.kill(random.choice(run.workers()), way)
        assert run.end().endswith(f'{count}/{count} verified')
    assert_all_there(occystrap, tmp_path / 'receipts', count)


def test_an_interrupted_run_stops_its_workers_and_can_be_resumed(
        sixty: SixtyImages, destination: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    count, options = 12, ('--executor', 'processes:workers=2')
    with bulk_process(occystrap, sixty.listed(tmp_path, count), destination.host, *options) as run:
        run.hear('[3]')
        workers = run.workers()
        run.process.send_signal(signal.SIGINT)
        _assert_interrupted(run)
    _assert_gone(workers)
    tags = destination.requests()
    time.sleep(1)
    assert destination.requests() == tags
    resumed = occystrap('process', sixty.listed(tmp_path, count), mirror_at(destination.host),
                        '--receipt', 'receipts', '--resume', 'receipts', *options).assert_success()
    assert ' unchanged, ' in resumed.err.splitlines()[-1]
    assert_all_there(occystrap, tmp_path / 'receipts', count)


def test_interrupted_while_workers_start(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                         tmp_path: Path) -> None:
    with bulk_process(occystrap, sixty.listed(tmp_path), destination.host, '--executor', 'processes:workers=2') as run:
        while not run.workers():
            assert run.process.poll() is None
            time.sleep(0.001)
        run.process.send_signal(signal.SIGINT)
        run.end(130)
    assert run.lines == ['occystrap: error: interrupted; nothing half-written was left behind']


def test_workers_end_when_their_client_is_killed(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                 tmp_path: Path) -> None:
    with bulk_process(occystrap, sixty.listed(tmp_path), destination.host, '--executor', 'processes:workers=2') as run:
        run.hear('[3]')
        workers = run.workers()
        run.process.kill()
        run.process.wait()
        _assert_gone(workers)


def test_an_image_that_kills_its_workers_fails_alone(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                     tmp_path: Path) -> None:
    count = 6
    result = occystrap('process', sixty.listed(tmp_path, count), mirror_at(destination.host),
                       '--executor', 'processes:workers=2', '-f', 'poison', '--receipt', 'receipts',
                       env={'PYTHONPATH': str(poison_plugin(tmp_path))})
    assert_one_is_poison(result, count)
    assert_all_there(occystrap, tmp_path / 'receipts', count - 1)


def _assert_interrupted(run: BulkProcess) -> None:
    since = time.monotonic()
    run.end(130)
    assert time.monotonic() - since < 5
    assert [each for each in run.lines if each.startswith('occystrap: error: interrupted; ')]
    assert [each for each in run.lines if each.startswith('Resume: ')]
    assert '+ images, ' in run.lines[-1] and '+ verified' in run.lines[-1]  # how many more there are is not known


def _assert_gone(processes: list[int], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    assert processes
    while left := [each for each in processes if Path(f'/proc/{each}').exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
