"""Worker processes that are killed, stand still, or kill themselves; and runs that are interrupted."""
import os
import random
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.functional.scale.bulk import COPIED, BulkProcess, assert_all_there, bulk_process, mirror_at
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.services.sixty_images import SixtyImages

POISON = '''
import os
import signal
from occystrap_core import FilterKind, ImageFilter, hookimpl


class Poison(ImageFilter):
    repeatable = True

    def apply(self, image):
        if image.reference.repository.endswith('05'):
            os.kill(os.getpid(), signal.SIGKILL)
        return image


@hookimpl
def register_filters():
    return [FilterKind('poison', 'poison_plugin:Poison')]
'''


@pytest.mark.parametrize('way', [*[signal.SIGKILL] * (5 if EVERYTHING else 1), signal.SIGSTOP])
def test_what_a_lost_worker_had_is_done_again(way: signal.Signals, sixty: SixtyImages, destination: Registry,
                                              occystrap: CommandLine, tmp_path: Path) -> None:
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
    assert run.said == ['occystrap: error: interrupted; nothing half-written was left behind']


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
    directory, count = tmp_path / 'poison', 6
    information = directory / 'poison_plugin-1.0.dist-info'
    information.mkdir(parents=True)
    (directory / 'poison_plugin.py').write_text(POISON)
    (information / 'METADATA').write_text('Metadata-Version: 2.1\nName: poison-plugin\nVersion: 1.0\n')
    (information / 'entry_points.txt').write_text('[occystrap]\npoison = poison_plugin\n')
    result = occystrap('process', sixty.listed(tmp_path, count), mirror_at(destination.host),
                       '--executor', 'processes:workers=2', '-f', 'poison', '--receipt', 'receipts',
                       env={'PYTHONPATH': str(directory)}).assert_code(1)
    failed = [line for line in result.err.splitlines() if line.startswith('FAILED ')]
    assert len(failed) == 1 and 'app-05' in failed[0]
    workers = re.search(r'3 workers died while copying it: (.*)', failed[0])
    assert workers and len(set(re.findall(rf'worker {re.escape(socket.gethostname())}:\d+ died', workers[1]))) == 3
    assert result.err.splitlines()[-1].endswith(f'{count - 1}/{count} verified, 1 FAILED')
    assert_all_there(occystrap, tmp_path / 'receipts', count - 1)


def _assert_interrupted(run: BulkProcess) -> None:
    since = time.monotonic()
    run.end(130)
    assert time.monotonic() - since < 5
    assert [each for each in run.said if each.startswith('occystrap: error: interrupted; ')]
    assert [each for each in run.said if each.startswith('Resume: ')]


def _assert_gone(processes: list[int], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    assert processes
    while left := [each for each in processes if Path(f'/proc/{each}').exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
