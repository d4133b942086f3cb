"""What an interrupted run fetched for an archive is kept beside it, and the next run goes on there."""
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from occystrap_core.terminal_text import size_text
from tests.conftest import require_service
from tests.hostile.in_process import run_here
from tests.hostile.writers.interrupted import KINDS, MIB, PLANTED, Mirror, flip, wait_for_kept
from tests.services.breaking_registry import breaking_registry
from tests.services.command_line import CommandLine
from tests.services.dask_cluster import dask_cluster


@pytest.fixture(params=['tar', 'tar oci'])
def mirror(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """No archive yet; the registry is slow enough for this process, so that also what is complete is kept."""
    monkeypatch.setattr('occystrap_core.files.kept_beside._WAITING', 0)
    (tmp_path / 'mirror').mkdir()
    with breaking_registry() as registry:
        yield Mirror(KINDS[request.param], registry, tmp_path / 'mirror')


@pytest.fixture(params=['small tar', 'small tar oci'])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mirror]:
    """No archive yet; the layers are too small to be kept while the archive is written."""
    (tmp_path / 'mirror').mkdir()
    with breaking_registry() as registry:
        yield Mirror(KINDS[request.param], registry, tmp_path / 'mirror')


def assert_goes_on(small: Mirror, twin: Path) -> None:
    """Fail unless the next run asks for the layer that was cut, and not for the other."""
    small.registry.heal()
    image, = small.copy('-O', 'json').assert_success().json()['images']
    assert not small.registry.ranges_of(small.whole) and small.registry.ranges_of(small.cut) == ['']
    assert image['bytes_reused'] == small.registry.size_of(small.whole)
    assert f'layer {small.whole} was kept by an earlier run' in image['notes']
    assert not small.kept.exists() and small.is_as(small.expected(twin))


def test_complete_layers_of_an_archive_are_kept_when_the_network_fails(small: Mirror, tmp_path: Path) -> None:
    failed = small.copy().assert_code(1)
    assert [*small.kept_sizes()] == [small.kept_whole] and not small.place.path.exists()
    size, = small.kept_sizes().values()
    assert f'1 layer ({size_text(size)}) is kept for the next run in {small.kept}' in failed.err
    assert_goes_on(small, tmp_path / 'twin')


def test_complete_layers_of_an_archive_are_kept_after_a_signal(small: Mirror, tmp_path: Path,
                                                               occystrap: CommandLine) -> None:
    small.registry.holds = True
    process = occystrap.start(*small.command(), stderr=subprocess.PIPE)
    assert small.registry.reached.wait(20)
    process.send_signal(signal.SIGINT)
    assert f' is kept for the next run in {small.kept}' in process.communicate(timeout=20)[1].decode()
    assert process.returncode == 130
    assert_goes_on(small, tmp_path / 'twin')


@pytest.mark.parametrize('kind', ['processes', 'dask'])
def test_layers_kept_by_workers_after_a_signal_are_reported_and_used(
        kind: str, small: Mirror, tmp_path: Path, occystrap: CommandLine) -> None:
    with ExitStack() as stack:
        executor = 'processes:workers=1'
        if kind == 'dask':
            executor = stack.enter_context(require_service(lambda: dask_cluster(1))).executor
        small.registry.holds = True
        process = occystrap.start(*small.command('--executor', executor), stderr=subprocess.PIPE)
        assert small.registry.reached.wait(20)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=20)[1].decode()
    assert 'occystrap: error: interrupted; 1 layer (' in output
    assert f' is kept for the next run in {small.kept}' in output
    assert process.returncode == 130
    assert_goes_on(small, tmp_path / 'twin')


def test_complete_layers_that_are_damaged_are_fetched_again(small: Mirror, tmp_path: Path) -> None:
    small.interrupt()
    flip(small.file(small.kept_whole))
    small.copy().assert_success()
    assert small.registry.ranges_of(small.whole) == ['']
    assert not small.kept.exists() and small.is_as(small.expected(tmp_path / 'twin'))


def test_a_second_interruption_loses_nothing(small: Mirror, tmp_path: Path) -> None:
    small.interrupt()
    small.interrupt()
    assert not small.registry.ranges_of(small.whole)
    assert_goes_on(small, tmp_path / 'twin')


@pytest.mark.parametrize('small', ['small tar oci'], indirect=True)
def test_of_an_archive_of_many_images_all_that_is_complete_is_kept(small: Mirror, tmp_path: Path,
                                                                   occystrap: CommandLine) -> None:
    small.registry.holds = True
    ready, = small.registry.add('ready:v1', {'fourth': 2 * MIB})
    images = tmp_path / 'images'
    images.write_text(''.join(f'registry://{small.registry.host}/{name}:v1\n' for name in ('ready', 'app')))
    process = occystrap.start('process', f'list://{images}', small.place.uri, '-J1', '-j1', stderr=subprocess.PIPE)
    assert small.registry.reached.wait(20)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and {*small.kept_sizes()} == {ready, small.whole}
    small.registry.heal()
    run_here('process', f'list://{images}', small.place.uri).assert_success()
    assert not small.registry.ranges_of(small.whole) and not small.registry.ranges_of(ready)
    assert not small.kept.exists()


def test_after_a_failure_of_the_network_the_next_run_goes_on(mirror: Mirror, tmp_path: Path) -> None:
    failed = mirror.copy().assert_code(1)
    assert f'; {mirror.kept_text()}' in failed.err and not mirror.place.path.exists()
    assert mirror.kept_sizes() == {mirror.whole: mirror.registry.size_of(mirror.whole), mirror.cut: mirror.kind.at}
    mirror.registry.heal()
    image, = mirror.copy('-O', 'json').assert_success().json()['images']
    assert mirror.registry.ranges_of(mirror.cut) == [f'bytes={mirror.kind.at}-']
    assert not mirror.registry.ranges_of(mirror.whole)
    assert image['bytes_reused'] == mirror.registry.size_of(mirror.whole) + mirror.kind.at
    assert f'layer {mirror.cut} was resumed at 5.0 MiB' in image['notes']
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


@pytest.mark.parametrize(('mirror', 'number'), [('tar', signal.SIGINT), ('tar oci', signal.SIGKILL)],
                         indirect=['mirror'])
def test_after_a_signal_or_a_kill_the_next_run_goes_on(number: signal.Signals, mirror: Mirror, tmp_path: Path,
                                                       occystrap: CommandLine) -> None:
    mirror.registry.holds = True
    process = occystrap.start(*mirror.command(), stderr=subprocess.PIPE)
    wait_for_kept(mirror)
    process.send_signal(number)
    output = process.communicate(timeout=20)[1].decode()
    assert process.returncode in (130, -signal.SIGKILL) and not mirror.place.path.exists()
    assert number == signal.SIGKILL or f' kept for the next run in {mirror.kept}' in output
    mirror.registry.heal()
    mirror.copy().assert_success()
    requested, = mirror.registry.ranges_of(mirror.cut)
    assert int(requested.removeprefix('bytes=').removesuffix('-')) > 4_000_000
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


def test_layers_damaged_meanwhile_are_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.interrupt()
    for digest in (mirror.whole, mirror.cut):
        flip(mirror.file(digest))
    mirror.copy().assert_success()
    assert mirror.registry.ranges_of(mirror.cut) == [f'bytes={mirror.kind.at}-', '']
    assert mirror.registry.ranges_of(mirror.whole) == ['']
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


def test_a_run_that_is_refused_keeps_nothing(mirror: Mirror) -> None:
    media_type, blob = mirror.registry.documents[path := f'/v2/app/blobs/{mirror.cut}']
    mirror.interrupt()
    mirror.registry.documents[path] = media_type, blob[:-1] + bytes([blob[-1] ^ 1])
    assert 'kept' not in mirror.copy().assert_code(1).err and not mirror.place.tree()


@pytest.mark.parametrize('mirror', ['tar oci'], indirect=True)
@pytest.mark.parametrize('planted', PLANTED)
def test_planted_files_among_kept_layers_do_no_harm(planted: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.registry.heal()
    victim = tmp_path / 'victim'
    victim.write_bytes(b'of somebody else' * 100_000)
    mirror.kept.mkdir()
    for digest in (mirror.whole, mirror.cut):
        PLANTED[planted](mirror.file(digest), victim)
    mirror.copy('--verify=full').assert_success()
    assert victim.read_bytes() == b'of somebody else' * 100_000


def test_a_link_in_place_of_the_directory_is_not_followed(mirror: Mirror, tmp_path: Path) -> None:
    mirror.registry.heal()
    (tmp_path / 'elsewhere').mkdir()
    mirror.kept.symlink_to(tmp_path / 'elsewhere')
    mirror.copy().assert_success()
    assert not list((tmp_path / 'elsewhere').iterdir()) and mirror.kept.is_symlink()


def test_kept_layers_unused_for_a_week_are_removed(mirror: Mirror) -> None:
    mirror.interrupt()
    old = time.time() - 8 * 24 * 3600
    os.utime(mirror.file(mirror.whole), (old, old))
    mirror.registry.add('small:v1', {'fourth': 1000})
    mirror.copy('--force', image='small:v1').assert_success()
    assert [*mirror.kept_sizes()] == [mirror.cut]


def test_for_stdout_nothing_is_kept(mirror: Mirror, tmp_path: Path, occystrap: CommandLine) -> None:
    spool = tmp_path / 'spool'
    spool.mkdir()
    failed = occystrap(*mirror.command('--temp-dir', spool, to=mirror.kind.template.format('-')))
    assert failed.code == 1 and 'kept' not in failed.err and not list(spool.iterdir())
