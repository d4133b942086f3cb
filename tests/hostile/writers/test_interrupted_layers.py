"""What an interrupted run fetched is not fetched again by the next one, and is as little trusted as what comes anew."""
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.terminal_text import size_text
from tests.hostile.in_process import run_here
from tests.hostile.writers.interrupted import KINDS, MIB, PLANTED, Mirror, flip, wait_for_kept
from tests.hostile.writers.places import InDirectory
from tests.services.breaking_registry import breaking_registry
from tests.services.command_line import CommandLine, CommandResult


@pytest.fixture(params=['layout', 'dir'])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mirror]:
    """A mirror without an image."""
    (tmp_path / 'mirror').mkdir()
    with breaking_registry() as registry:
        yield Mirror(KINDS[request.param], registry, tmp_path / 'mirror')


layout_only = pytest.mark.parametrize('mirror', ['layout'], indirect=True)


def image_of(result: CommandResult) -> Any:
    """What JSON says of the only image."""
    image, = result.assert_success().json()['images']
    return image


def test_after_a_failure_of_the_network_the_next_run_goes_on(mirror: Mirror, tmp_path: Path) -> None:
    failed = mirror.copy().assert_code(1)
    assert f'; {mirror.kept_text()}' in failed.err
    assert mirror.kept_sizes().keys() == {mirror.kept_whole, mirror.cut}
    assert {path.split('/')[1] for path in mirror.place.tree() if '/' in path} == {'.occystrap'}
    reached = mirror.kept_sizes()[mirror.cut]
    assert mirror.kept_sizes()[mirror.kept_whole] > mirror.kind.whole and 0 < reached <= mirror.kind.at
    mirror.registry.heal()
    done = mirror.copy('-O', 'json')
    assert mirror.registry.requests[-1] == (mirror.cut, f'bytes={reached}-')
    rest = mirror.registry.size_of(mirror.cut) - reached
    assert rest < mirror.registry.sent < rest + 1000, 'more than that and the config'
    assert not mirror.registry.ranges_of(mirror.whole)
    image = image_of(done)
    reused = mirror.registry.size_of(mirror.whole) + reached
    assert image['bytes_reused'] == reused == done.json()['counts']['bytes_reused']
    moved = image['bytes'] - reused if mirror.kind is KINDS['layout'] else mirror.cut_size()
    assert image['bytes_moved'] == moved == done.json()['counts']['bytes_moved']
    assert f'layer {mirror.cut} was resumed at {size_text(reached)}' in image['notes']
    assert f'layer {mirror.whole} was kept by an earlier run' in image['notes']
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


@pytest.mark.parametrize(('mirror', 'number', 'code'), [
    ('layout', signal.SIGINT, 130), ('dir', signal.SIGTERM, 143)], indirect=['mirror'])
def test_after_a_signal_the_next_run_goes_on(number: signal.Signals, code: int, mirror: Mirror, tmp_path: Path,
                                             occystrap: CommandLine) -> None:
    mirror.registry.holds = True
    process = occystrap.start(*mirror.command(), stderr=subprocess.PIPE)
    wait_for_kept(mirror)
    process.send_signal(number)
    output = process.communicate(timeout=20)[1].decode()
    assert process.returncode == code
    assert f'interrupted; {mirror.kept_text()}' in output
    assert {path.split('/')[1] for path in mirror.place.tree() if '/' in path} == {'.occystrap'}
    goes_on(mirror, tmp_path)


@pytest.mark.parametrize(('mirror', 'between'), [('layout', False), ('dir', True)], indirect=['mirror'])
def test_after_a_kill_the_next_run_goes_on(between: bool, mirror: Mirror, tmp_path: Path, occystrap: CommandLine,
                                           ) -> None:
    mirror.registry.holds = True
    process = occystrap.start(*mirror.command())
    wait_for_kept(mirror)
    process.kill()
    process.wait()
    if between:  # an image without the first layer, which is kept nevertheless
        mirror.registry.add('small:v1', {'fourth': 1000})
        run_here(*mirror.command(image='small:v1')).assert_success()
        assert mirror.kept_sizes().keys() == {mirror.kept_whole, mirror.cut}
        mirror.registry.heal()
        mirror.copy().assert_success()
        assert mirror.registry.ranges_of(mirror.cut) and not mirror.registry.ranges_of(mirror.whole)
    else:
        goes_on(mirror, tmp_path)


def goes_on(mirror: Mirror, tmp_path: Path) -> None:
    """Copy anew: only the rest of the second layer is fetched."""
    mirror.registry.heal()
    mirror.copy().assert_success()
    assert not mirror.registry.ranges_of(mirror.whole)
    requested, = mirror.registry.ranges_of(mirror.cut)
    assert int(requested.removeprefix('bytes=').removesuffix('-')) >= mirror.kind.at - MIB
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


DAMAGES: dict[str, Callable[[Path], object]] = {
    'another bit': flip, 'nothing': lambda path: os.truncate(path, 0), 'a hole': lambda path: os.truncate(path, MIB),
    'more than there is': lambda path: os.truncate(path, 19 * MIB), 'gone': Path.unlink}


@pytest.mark.parametrize('damage', DAMAGES)
def test_layers_damaged_meanwhile_are_fetched_again(damage: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.interrupt()
    for digest in (mirror.kept_whole, mirror.cut):
        DAMAGES[damage](mirror.file(digest))
    mirror.copy().assert_success()
    assert len(mirror.registry.ranges_of(mirror.cut)) == (2 if damage == 'another bit' else 1)
    assert mirror.registry.ranges_of(mirror.cut)[-1] == (f'bytes={MIB}-' if damage == 'a hole' else '')
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


@layout_only
@pytest.mark.parametrize('ranges', ['no', '416', 'wrong'])
def test_a_server_without_ranges_gives_the_whole_layer(ranges: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.interrupt()
    mirror.registry.ranges = ranges
    mirror.copy().assert_success()
    assert mirror.registry.ranges_of(mirror.cut)[-1:] == ([''] if ranges != 'no' else [f'bytes={mirror.kind.at}-'])
    mirror.registry.ranges = 'yes'
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


def test_another_image_with_the_same_layer_goes_on_with_it(mirror: Mirror) -> None:
    mirror.interrupt()
    mirror.copy(image='other:v1').assert_success()
    assert mirror.registry.ranges_of(mirror.cut) == [f'bytes={mirror.kind.at}-']
    assert mirror.kept_sizes().keys() == {mirror.kept_whole}


@layout_only
def test_another_source_of_the_same_image_will_do(mirror: Mirror, tmp_path: Path) -> None:
    tree = mirror.expected(tmp_path / 'twin')
    mirror.interrupt()
    done = run_here('process', f'layout://{tmp_path}/twin/out', mirror.place.uri, '-O', 'json')
    assert f'layer {mirror.cut} was resumed at 2.0 MiB' in image_of(done)['notes'] and not mirror.registry.requests
    assert mirror.is_as(tree)


@layout_only
def test_of_several_destinations_each_has_what_it_kept(mirror: Mirror, tmp_path: Path) -> None:
    tree = mirror.expected(tmp_path / 'twin')
    mirror.interrupt()
    second = InDirectory(tmp_path / 'second', mirror.kind.template)
    second.above.mkdir()
    done = mirror.copy(second.uri).assert_success()
    assert mirror.registry.ranges_of(mirror.cut) == [''], 'it is read for both, so from its beginning'
    assert f'layer {mirror.whole} was kept by an earlier run' in done.err
    assert mirror.is_as(tree) and second.tree() == tree


@layout_only
def test_images_of_one_run_that_are_interrupted_or_fail(mirror: Mirror, tmp_path: Path, occystrap: CommandLine) -> None:
    images = tmp_path / 'images'
    images.write_text('\n'.join(f'{mirror.registry.host}/{name}' for name in ('app:v1', 'other:v1')))
    command = ['process', f'list://{images}', mirror.place.uri, '-j1', '--retries=0']
    failed = run_here(*command).assert_code(1)
    assert [line for line in failed.err.splitlines() if '/app:v1 FAILED' in line and 'kept for the next run' in line]
    mirror.registry.heal()
    mirror.registry.holds = True
    mirror.cut_off()
    mirror.registry.breaks[mirror.cut] += MIB // 32
    mirror.registry.reached.clear()
    process = occystrap.start(*command, stderr=subprocess.PIPE)
    assert mirror.registry.reached.wait(20)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=20)[1].decode()
    assert output.count('kept for the next run in') == 1 and process.returncode == 130, output
    mirror.registry.heal()
    run_here(*command).assert_success()
    assert not mirror.registry.ranges_of(mirror.whole) and not mirror.kept.exists()
    run_here('verify', mirror.place.uri, '--verify=full').assert_success()


def test_a_layer_that_another_run_is_at_work_on_is_fetched_whole(mirror: Mirror, tmp_path: Path) -> None:
    mirror.interrupt()
    with mirror.file(mirror.cut).open('rb') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        mirror.copy().assert_success()
        assert mirror.registry.ranges_of(mirror.cut) == ['']
        assert mirror.kept_sizes() == {mirror.cut: mirror.kind.at}, 'the other run loses its work'
    run_here('verify', mirror.place.uri, '--verify=full').assert_success()


@pytest.mark.parametrize('mirror', ['dir'], indirect=True)
def test_kept_parts_are_removed_when_the_image_is_complete(mirror: Mirror, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.interrupt()
    monkeypatch.setattr('occystrap_dir.directory.writer.LEAST_BESIDE', 1 << 40)
    mirror.copy().assert_success()
    assert mirror.is_as(mirror.expected(tmp_path / 'twin'))


@pytest.mark.parametrize('mirror', ['dir'], indirect=True)
@pytest.mark.parametrize(('name', 'value'), [('_WAITING', 2), ('_ROOM', 1 << 40)])
def test_nothing_is_kept_beside_a_tar_where_it_is_not_worth_it(
        name: str, value: int, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_core.files.kept_beside.LEAST_BESIDE', MIB)
    monkeypatch.setattr(f'occystrap_core.files.kept_beside.{name}', value)
    assert '1 layer (9.0 MiB) is kept' in mirror.interrupt().err
    assert mirror.kept_sizes().keys() == {mirror.kept_whole}
    mirror.copy().assert_success()
    assert mirror.registry.ranges_of(mirror.cut) == [''] and not mirror.registry.ranges_of(mirror.whole)


@pytest.mark.parametrize('mirror', ['dir'], indirect=True)
def test_layers_of_unpacked_and_of_filtered_images_survive_if_they_are_complete(mirror: Mirror, tmp_path: Path) -> None:
    for options in (['-f', 'normalize-timestamps'], []):
        place = f'dir://{tmp_path}/{len(options)}' + ('' if options else '?expand=true')
        mirror.cut_off()
        assert '1 layer (9.0 MiB) is kept' in mirror.copy(*options, to=place).assert_code(1).err
        mirror.registry.heal()
        done = mirror.copy(*options, to=place).assert_success()
        assert bool(mirror.registry.ranges_of(mirror.whole)) is bool(options), 'what a filter makes is not known before'
        assert options or f'layer {mirror.whole} was kept by an earlier run' in done.err
        run_here('verify', place.partition('?')[0], '--verify=full').assert_success()


def test_a_run_that_is_refused_keeps_nothing(mirror: Mirror) -> None:
    media_type, blob = mirror.registry.documents[path := f'/v2/app/blobs/{mirror.cut}']
    mirror.registry.heal()
    mirror.registry.documents[path] = media_type, blob[:-1] + bytes([blob[-1] ^ 1])
    assert mirror.cut in mirror.copy().assert_code(1).err and not mirror.place.tree()
    mirror.registry.documents[path] = media_type, blob
    mirror.interrupt()
    mirror.registry.documents[path] = media_type, blob[:-1] + bytes([blob[-1] ^ 1])
    failed = mirror.copy().assert_code(1)
    assert 'kept for' not in failed.err and mirror.place.tree().keys() == {'out'}


@layout_only
def test_a_full_disk_keeps_nothing(mirror: Mirror, disk: Callable[..., Path], occystrap: CommandLine) -> None:
    place = InDirectory(disk('4m'), 'layout://{}')
    mirror.registry.heal()
    failed = mirror.copy(to=place.uri).assert_code(1)
    assert 'No space left' in failed.err and 'kept' not in failed.err and not place.tree()


@layout_only
def test_a_layer_of_an_earlier_run_does_not_keep_a_disk_full(mirror: Mirror, disk: Callable[..., Path]) -> None:
    mirror.place = InDirectory(disk('5200k'), 'layout://{}')
    assert '2 layers (5.0 MiB) are kept' in mirror.interrupt().err
    failed = mirror.copy().assert_code(1)
    assert 'No space left' in failed.err and mirror.place.tree().keys() == {'out'}


@pytest.mark.parametrize('planted', PLANTED)
def test_planted_files_among_kept_layers_do_no_harm(planted: str, mirror: Mirror, tmp_path: Path) -> None:
    mirror.registry.heal()
    victim = tmp_path / 'victim'
    victim.write_bytes(b'of somebody else' * 100_000)
    mirror.kept.mkdir(parents=True)
    for digest in (mirror.kept_whole, mirror.cut):
        PLANTED[planted](mirror.file(digest), victim)
    mirror.copy().assert_success()
    assert victim.read_bytes() == b'of somebody else' * 100_000
    run_here('verify', mirror.place.uri, '--verify=full').assert_success()


def test_a_link_in_place_of_the_directory_is_not_followed(mirror: Mirror, tmp_path: Path) -> None:
    mirror.registry.heal()
    (tmp_path / 'elsewhere').mkdir()
    (mirror.place.path / '.occystrap').mkdir(parents=True)
    mirror.kept.symlink_to(tmp_path / 'elsewhere')
    mirror.copy().assert_success()
    assert not list((tmp_path / 'elsewhere').iterdir())
    run_here('verify', mirror.place.uri, '--verify=full').assert_success()


@pytest.mark.parametrize('image', ['other:v1', 'small:v1'])
def test_kept_layers_unused_for_a_week_are_removed(image: str, mirror: Mirror) -> None:
    mirror.registry.add('small:v1', {'fourth': 1000})
    mirror.registry.heal()
    mirror.copy(image='small:v1').assert_success()
    mirror.interrupt()
    old = time.time() - 8 * 24 * 3600
    os.utime(mirror.file(mirror.kept_whole), (old, old))
    mirror.copy(image=image).assert_success()  # one is unchanged, and the other takes the second layer
    assert [*mirror.kept_sizes()] == [mirror.cut] if image == 'small:v1' else not mirror.kept.exists()


@pytest.mark.parametrize(('mirror', 'least'), [
    ('layout', 'layout.blobs.LEAST'), ('dir', 'directory.writer.LEAST_BESIDE')], indirect=['mirror'])
def test_an_undisturbed_run_flushes_and_asks_no_more_for_it(
        least: str, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    mirror.registry.heal()
    for size in (1 << 19, 1 << 40):
        monkeypatch.setattr(f'occystrap_dir.{least}', size)
        mirror.registry.requests.clear()
        flushed = []
        with monkeypatch.context() as patched:
            patched.setattr(os, 'fsync', flushed.append)
            mirror.copy(to=mirror.kind.template.format(tmp_path / str(size))).assert_success()
        counts.append((len(flushed), sorted(mirror.registry.requests)))
        assert not (tmp_path / str(size) / '.occystrap/kept').exists()
    assert counts[0] == counts[1]
