"""Bulk runs on real Dask workers: what is lost is done again, what is interrupted stops, and no password travels."""
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

import occystrap_core
import occystrap_dask
from occystrap_core.version import __version__
from tests.conftest import require_service
from tests.functional.scale.bulk import COPIED, assert_all_there, assert_shared_once, bulk_process, mirror_at
from tests.functional.scale.poison import assert_one_is_poison, poison_plugin
from tests.services.command_line import CommandLine
from tests.services.dask_cluster import DaskCluster, dask_cluster
from tests.services.recorded import recorded
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.services.silent_listener import listener
from tests.services.sixty_images import SixtyImages

CANARY = 'canary-4711'
MANY = COPIED if EVERYTHING else 12


@pytest.fixture(scope='module')
def cluster() -> Iterator[DaskCluster]:
    """A cluster for all tests here, which replace the workers that they kill."""
    with require_service(lambda: dask_cluster(4 if EVERYTHING else 2)) as service:
        yield service


def test_a_shared_layer_is_transferred_once(cluster: DaskCluster, sixty: SixtyImages, destination: Registry,
                                            occystrap: CommandLine, tmp_path: Path) -> None:
    with assert_shared_once(sixty):
        result = occystrap('process', sixty.listed(tmp_path, COPIED), mirror_at(destination.host), '--receipt',
                           'receipts', '--executor', cluster.executor, fresh=True).assert_success()
    assert result.err.splitlines()[-1].endswith(f', {COPIED}/{COPIED} verified')
    assert_all_there(occystrap, tmp_path / 'receipts')
    assert cluster.tasks() == 0, 'the scheduler forgets what is done'


@pytest.mark.parametrize('way', [*[signal.SIGKILL] * (5 if EVERYTHING else 1), signal.SIGSTOP])
def test_an_image_of_a_lost_worker_is_copied_again(
        way: signal.Signals, cluster: DaskCluster, sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
        tmp_path: Path) -> None:
    count, worker = MANY, random.choice([each for each in cluster.workers if each.poll() is None])
    source = sixty.listed(tmp_path, count)
    with bulk_process(occystrap, source, destination.host, '--executor', cluster.executor) as run:
        run.hear(f'[{random.randint(1, count - 6)}]')
        worker.send_signal(way)
        try:
            assert run.end().endswith(f'{count}/{count} verified')
            assert cluster.queues() == 0
        finally:
            worker.kill()
            worker.wait()
            cluster.add_worker()
    assert_all_there(occystrap, tmp_path / 'receipts', count)


@pytest.mark.skipif(not EVERYTHING, reason='OCCYSTRAP_TEST_ALL=1 runs it; worker processes are killed always')
def test_an_image_that_kills_its_workers_fails_alone(sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
                                                     tmp_path: Path) -> None:
    plugin = {'PYTHONPATH': str(poison_plugin(tmp_path))}
    with require_service(lambda: dask_cluster(4, **plugin)) as fleet:
        result = occystrap('process', sixty.listed(tmp_path, 6), mirror_at(destination.host), '--executor',
                           fleet.executor, '-f', 'poison', '--receipt', 'receipts', env=plugin, fresh=True)
    assert_one_is_poison(result, 6)
    assert_all_there(occystrap, tmp_path / 'receipts', 5)


@pytest.mark.parametrize('way', [signal.SIGINT, signal.SIGKILL], ids=['interrupted', 'killed'])
def test_workers_stop_with_their_client(way: signal.Signals, cluster: DaskCluster, sixty: SixtyImages,
                                        destination: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    with bulk_process(occystrap, sixty.listed(tmp_path), destination.host, '--executor', cluster.executor) as run:
        run.hear('[3]')
        run.process.send_signal(way)
        since = time.monotonic()
        run.end(130 if way is signal.SIGINT else -way)
        assert time.monotonic() - since < 5
    time.sleep(max(0.0, since + 5 - time.monotonic()))
    asked = destination.requests()
    time.sleep(1)
    assert destination.requests() == asked
    if way is signal.SIGINT:
        assert [each for each in run.lines if each.startswith('occystrap: error: interrupted; ')]


def test_a_run_goes_on_when_the_scheduler_is_started_again(
        sixty: SixtyImages, destination: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    count = 12
    source = sixty.listed(tmp_path, count)
    with require_service(lambda: dask_cluster(1)) as first:
        with bulk_process(occystrap, source, destination.host, '--executor', first.executor) as run:
            run.hear('[3]')
            first.scheduler.kill()
            last = run.end(1)
        assert last.startswith('Summary: ')
        errors = [each for each in run.lines if each.startswith('occystrap: error: ')]
        assert errors == [f'occystrap: error: the Dask scheduler {first.address} is gone: start it again, and go on '
                          'with --resume']
        port = first.port
    resume = ('process', source, mirror_at(destination.host), '--receipt', 'receipts', '--resume', 'receipts')
    if EVERYTHING:
        with require_service(lambda: dask_cluster(1, port)) as second:
            resumed = occystrap(*resume, '--executor', second.executor, fresh=True).assert_success()
    else:
        resumed = occystrap(*resume).assert_success()
    assert ' unchanged, ' in resumed.err.splitlines()[-1]
    assert_all_there(occystrap, tmp_path / 'receipts', count)


@pytest.fixture
def python_with(tmp_path: Path) -> Callable[[str], str]:
    """Makes a Python that has Dask, and of occystrap another version, or nothing; returns its path."""
    def make(version: str) -> str:
        place = tmp_path / f'venv{version}'
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', place], check=True)
        (packages,) = (place / 'lib').glob('*/site-packages')
        for each in Path(pytest.__file__).parent.parent.iterdir():
            if 'occystrap' not in each.name:
                (packages / each.name).symlink_to(each)
        if version:
            shutil.copytree(Path(occystrap_core.__file__).parent, packages / 'occystrap_core')
            (packages / 'occystrap_core/version.py').write_text(f'__version__ = {version!r}\n')
            (packages / 'occystrap_dask').symlink_to(Path(occystrap_dask.__file__).parent)
            for name in ('core', 'dask'):
                information = packages / f'occystrap_{name}-{version}.dist-info'
                information.mkdir()
                (information / 'METADATA').write_text(
                    f'Metadata-Version: 2.1\nName: occystrap-{name}\nVersion: {version}\n')
        return str(place / 'bin/python')
    return make


def test_workers_that_cannot_do_it_are_left_out(
        python_with: Callable[[str], str], cluster: DaskCluster, sixty: SixtyImages, destination: Registry,
        occystrap: CommandLine, tmp_path: Path) -> None:
    executor, count = cluster.executor, 6
    workers = [cluster.add_worker(python_with(version)) for version in ('9.9', '')]
    try:
        result = occystrap('process', sixty.listed(tmp_path, count), mirror_at(destination.host), '--executor',
                           executor, fresh=True).assert_success()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    notes = [each for each in result.err.splitlines() if ' is left out: ' in each]
    assert len(notes) == 2 and all('install there occystrap-core and occystrap-dask ' in note for note in notes), notes
    for reason in ('it has occystrap-core 9.9, this is ', 'it has no occystrap-core'):
        assert sum(reason in note for note in notes) == 1, notes
    assert result.err.splitlines()[-1].endswith(f', {count}/{count} verified')


def test_a_worker_without_the_plugin_fails_its_own_images(
        python_with: Callable[[str], str], cluster: DaskCluster, sixty: SixtyImages, destination: Registry,
        occystrap: CommandLine, tmp_path: Path) -> None:
    """It has no registry://: each of its images has a line that names both, and the others arrive."""
    count = 6
    worker = cluster.add_worker(python_with(__version__))
    try:
        result = occystrap('process', sixty.listed(tmp_path, count), mirror_at(destination.host), '--executor',
                           cluster.executor, '--receipt', 'receipts', fresh=True).assert_code(1)
    finally:
        worker.kill()
        worker.wait()
    failed = [each for each in result.err.splitlines() if each.startswith('FAILED ')]
    assert 0 < len(failed) < count, result
    for line in failed:
        assert 'team/app-' in line and 'no installed plugin provides registry://' in line, line
        assert line.endswith(f':{worker.pid})'), line
    assert_all_there(occystrap, tmp_path / 'receipts', count - len(failed))


def _login(registry: Registry) -> dict[str, str]:
    assert registry.user and registry.password
    return {'OCCYSTRAP_USERNAME': registry.user, 'OCCYSTRAP_PASSWORD': registry.password}


@pytest.fixture(scope='module')
def trusted_cluster(private_registry: Registry) -> Iterator[DaskCluster]:
    """A cluster of one worker, which has the login of the registry."""
    with require_service(lambda: dask_cluster(1, dashboard=True, **_login(private_registry))) as service:
        yield service


@contextmanager
def _pages(dashboard: str) -> Iterator[list[bytes]]:
    """Keep what the scheduler's dashboard shows to everybody, until the block ends."""
    kept, ended = list[bytes](), threading.Event()

    def look() -> None:
        while True:
            for page in ('info/main/workers.html', 'info/main/logs.html', 'metrics'):
                with urlopen(f'http://{dashboard}/{page}', timeout=10) as answer:
                    kept.append(answer.read())
            if ended.wait(0.2):
                return
    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(look)
        try:
            yield kept
        finally:
            ended.set()
        looking.result()


def test_no_password_travels(private_registry: Registry, trusted_cluster: DaskCluster, sixty: SixtyImages,
                             occystrap: CommandLine, tmp_path: Path) -> None:
    """The worker has the login of the destination; what the client knows is seen by nobody."""
    mine, cluster = {'OCCYSTRAP_USERNAME': 'ann', 'OCCYSTRAP_PASSWORD': CANARY}, trusted_cluster
    goes = f'registry://{private_registry.host}/secret/{{repository}}:{{tag}}'
    with recorded(cluster.port) as between, _pages(cluster.dashboard) as pages:
        result = occystrap('process', sixty.listed(tmp_path, 4), goes, '--executor',
                           f'dask:scheduler=tcp://{between.host}', env=mine, fresh=True)
        seen = bytes(between.seen) + b''.join(pages) + (cluster.logs() + result.err + result.out).encode()
    result.assert_success()
    assert b'secret/team/app-01:v1' in seen and b'dask_scheduler_workers' in seen
    assert CANARY.encode() not in seen and _login(private_registry)['OCCYSTRAP_PASSWORD'].encode() not in seen
    refused = occystrap('process', f'registry://ann:{CANARY}@{sixty.registry.host}/team/app-01:v1', goes, '--executor',
                        f'dask:scheduler={cluster.address}').assert_code(2)
    assert len(refused.errors) == 1 and 'occystrap login' in refused.err and CANARY not in refused.err


def test_a_worker_without_a_login_is_left_out_and_its_images_are_copied_by_others(
        private_registry: Registry, trusted_cluster: DaskCluster, sixty: SixtyImages, occystrap: CommandLine,
        tmp_path: Path) -> None:
    goes, count = f'registry://{private_registry.host}/fleet/{{repository}}:{{tag}}', 12
    worker = trusted_cluster.add_worker(environment={
        name: text for name, text in trusted_cluster.environment.items() if name not in _login(private_registry)})
    try:
        result = occystrap('process', sixty.listed(tmp_path, count), goes, '--executor', trusted_cluster.executor,
                           fresh=True).assert_success()
    finally:
        worker.kill()
        worker.wait()
    assert result.err.splitlines()[-1].endswith(f', {count}/{count} verified')
    notes = [each for each in result.err.splitlines() if ' is left out: ' in each]
    assert len(notes) == 1 and f':{worker.pid} ' in notes[0], result
    assert 'access denied for all ' in notes[0] and 'occystrap login' in notes[0]


@pytest.mark.parametrize(('executor', 'words'), [
    ('dask', 'the scheduler is missing: write --executor dask:scheduler=tcp://HOST:8786'),
    ('dask:scheduler=tcp://127.0.0.1:1,wait=1', 'no Dask scheduler answers at tcp://127.0.0.1:1'),
    ('dask:scheduler=tls://127.0.0.1:1,wait=1', 'tls://127.0.0.1:1 needs certificates, and there are none: '),
    ('dask:scheduler=nonsense://x', 'no Dask scheduler answers at nonsense://x')])
def test_mistakes(executor: str, words: str, occystrap: CommandLine) -> None:
    result = occystrap('process', 'registry://127.0.0.1:1/app:v1', 'dir://out', '--executor', executor, fresh=True)
    assert result.code in (1, 2) and len(result.errors) == 1, result
    assert result.errors[0].startswith('occystrap: error: ') and words in result.errors[0]


def test_a_scheduler_that_says_nothing_is_a_mistake(occystrap: CommandLine) -> None:
    with listener(holds=True) as silent:
        result = occystrap('process', 'registry://127.0.0.1:1/app:v1', 'dir://out', '--executor',
                           f'dask:scheduler=tcp://{silent.host},wait=1', fresh=True, timeout=60).assert_code(1)
    assert len(result.errors) == 1, result
    assert f'no Dask scheduler answers at tcp://{silent.host}: no answer within 1 s; start one' in result.errors[0]


@pytest.mark.skipif(not EVERYTHING, reason='OCCYSTRAP_TEST_ALL=1 runs it; the clock of heartbeats is tested always')
def test_a_scheduler_that_is_frozen_for_a_while_costs_nothing(
        cluster: DaskCluster, sixty: SixtyImages, destination: Registry, occystrap: CommandLine,
        tmp_path: Path) -> None:
    source = sixty.listed(tmp_path, MANY)
    with bulk_process(occystrap, source, destination.host, '--executor', cluster.executor) as run:
        run.hear('[3]')
        cluster.scheduler.send_signal(signal.SIGSTOP)
        time.sleep(6)  # twice as long as workers may be silent
        cluster.scheduler.send_signal(signal.SIGCONT)
        assert run.end().endswith(f'{MANY}/{MANY} verified')
    assert_all_there(occystrap, tmp_path / 'receipts', MANY)


def test_a_dry_run_needs_the_scheduler_as_well_and_does_not_ask_it(occystrap: CommandLine, sixty: SixtyImages,
                                                                   tmp_path: Path) -> None:
    command = ('process', sixty.listed(tmp_path, 2), 'dir://out?unique_names=true', '--dry-run', '--executor')
    result = occystrap(*command, 'dask').assert_code(2)
    assert len(result.errors) == 1 and 'the scheduler is missing' in result.errors[0]
    assert 'Dry run: 2/2 images' in occystrap(*command, 'dask:scheduler=tcp://127.0.0.1:1').assert_success().err
