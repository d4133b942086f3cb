"""HOSTILE 56: two processes write into one directory, one of them killed now and then: all is there, and whole."""
import fcntl
import io
import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Image, OutputError, Receipt
from occystrap_core.image.layer import TarLayer
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_core.verification.results import Outcome
from occystrap_dir.bundle import verifier as bundle_verifier
from occystrap_dir.file_list import files_check
from tests.hostile.in_process import run_here
from tests.hostile.writers.conftest import MakePlace
from tests.hostile.writers.images import NEW, OLD, noise
from tests.hostile.writers.places import IN_DIRECTORIES, InDirectory, Place, Tree
from tests.services.command_line import CommandLine
from tests.unit.tar.archives import verify, write

COUNT = 20
ROUNDS = int(os.environ.get('OCCYSTRAP_TEST_ROUNDS', '10'))
SEED = int(os.environ.get('OCCYSTRAP_TEST_SEED', '56'))


def name(number: int) -> str:
    return f'team/app-{number:02}'


def layers(number: int) -> list[bytes]:
    """A base that others have as well, a second layer that others have as well, and one of its own."""
    return [noise(f'base-{number % 3}', 30_000), noise(f'middle-{number % 5}', 5_000), noise(f'own-{number}', 500)]


@pytest.fixture(scope='session')
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twenty images that share their layers, in one archive: the URIs."""
    from tests.unit.tar.archives import hex_of, write_tar
    members: dict[str, bytes | str] = {}
    entries = []
    for number in range(COUNT):
        config = sample_config(layers(number))
        names = [f'{hex_of(tar)}.tar' for tar in layers(number)]
        members |= {**dict(zip(names, layers(number), strict=True)), f'{hex_of(config)}.json': config}
        entries.append({'Config': f'{hex_of(config)}.json', 'RepoTags': [f'{name(number)}:v1'], 'Layers': names})
    path = tmp_path_factory.mktemp('overlapping') / 'all.tar'
    write_tar(path, [*members.items(), ('manifest.json', json.dumps(entries).encode())])
    return [f'tar://{path}?image={name(number)}:v1' for number in range(COUNT)]


def listed(directory: Path, part: str, images: Sequence[str]) -> str:
    (directory / part).write_text('\n'.join(images) + '\n')
    return f'list://{part}'


@pytest.mark.parametrize(('destination', 'rounds'), [
    ('dir of several', ROUNDS), ('layout', ROUNDS // 4), ('mounts', ROUNDS // 4)], indirect=['destination'])
def test_56_one_of_two_processes_killed_and_run_again(
        make_place: MakePlace, rounds: int, overlapping: list[str], occystrap: CommandLine) -> None:
    chances = random.Random(SEED)
    parts = [listed(occystrap.directory, part, images)
             for part, images in [('forwards', overlapping[:14]), ('backwards', overlapping[:5:-1])]]
    started, expected = time.monotonic(), make_place()
    occystrap('process', listed(occystrap.directory, 'all', overlapping), expected.uri).assert_success()
    usual = time.monotonic() - started
    for round_number in range(rounds):
        place = make_place()
        processes = [occystrap.start_fork('process', part, place.uri) for part in parts]
        victim, after = chances.randrange(2), chances.uniform(0.2, 1) * usual
        context = f'OCCYSTRAP_TEST_SEED={SEED}, round {round_number}: {parts[victim]} killed after {after:.3f} s'
        time.sleep(after)
        processes[victim].kill()
        said = processes[victim].errors()
        assert processes[victim].wait() in (0, -signal.SIGKILL), f'{context}: {said}'
        processes[victim] = occystrap.start_fork('process', parts[victim], place.uri)
        output = processes[victim].errors()
        assert [process.wait() for process in processes] == [0, 0], f'{context}: {output}'
        if place.uri.startswith('dir:'):
            assert_complete(place, context)
        assert whole(place) == whole(expected), f'{context}: not the tree that one process alone makes'


def whole(place: Place) -> Tree:
    """The tree, with what a layout's index lists in one order, since that is the order in which images came."""
    tree = place.tree()
    if place.uri.startswith('layout:'):
        assert isinstance(place, InDirectory)
        listed_there = json.loads((place.path / 'index.json').read_bytes())['manifests']
        tree['out/index.json'] = sorted(map(str, listed_there))
    return tree


def assert_complete(place: Place, context: str) -> None:
    """Fail unless the catalog has every image, and every layer is what its name says."""
    assert isinstance(place, InDirectory)
    catalog = json.loads((place.path / 'catalog.json').read_bytes())
    manifests = {name(number): {'v1': f'manifest-team_app-{number:02}-v1.json'} for number in range(COUNT)}
    assert catalog == manifests, context
    there = {path.parent.name: Digest.of(path.read_bytes()).hex for path in place.path.glob('*/layer.tar')}
    assert there == {digest: digest for digest in
                     (Digest.of(tar).hex for number in range(COUNT) for tar in layers(number))}, context


def in_parallel(occystrap: CommandLine, place: Place, sources: Sequence[str]) -> tuple[list[int], str]:
    """Run a process for each source into one place, all in parallel; returns their exit codes and what they said."""
    processes = [occystrap.start_fork('process', source, place.uri) for source in sources]
    output = [process.errors() for process in processes]
    return [process.wait() for process in processes], ''.join(output)


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_56_two_processes_with_one_image(place: Place, make_place: MakePlace, archives: dict[str, str],
                                         occystrap: CommandLine) -> None:
    alone = make_place()
    run_here('process', archives[NEW], alone.uri).assert_success()
    codes, output = in_parallel(occystrap, place, [archives[NEW]] * 2)
    assert codes == [0, 0], output
    assert place.tree() == alone.tree()


@pytest.mark.parametrize('destination', ['dir expanded'], indirect=True)
def test_56_what_another_process_is_replacing_is_looked_at_again(
        place: Place, archives: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files that are being verified were exchanged, and removed, in mid look."""
    assert isinstance(place, InDirectory)
    run_here('process', archives[NEW], place.uri).assert_success()
    files, check_tree, looks = place.path / 'manifest', files_check.check_tree, []

    def exchanged(*asked: Any) -> Any:
        looks.append(asked)
        with ExitStack() as after:
            if len(looks) == 1:
                after.callback(files.rename(tmp_path / 'aside').rename, files)
            return check_tree(*asked)
    monkeypatch.setattr(files_check, 'check_tree', exchanged)
    run_here('verify', place.uri).assert_success()
    assert len(looks) == 2
    files.rename(tmp_path / 'aside')
    assert 'is missing' in run_here('verify', place.uri).assert_code(1).err


@pytest.mark.parametrize('destination', ['dir', 'dir of several', 'dir expanded'], indirect=True)
def test_56_a_rerun_takes_away_nothing_that_another_process_may_be_verifying(
        place: Place, archives: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here('process', archives[NEW], place.uri).assert_success()
    shutil.copy(archives[NEW].removeprefix('tar://'), tmp_path / 'other.tar')
    written, replace, moves = place.files(), os.replace, []

    def move(partial: str, path: str, **where: int) -> None:
        assert all(each.exists() for each in written), f'gone when {path} was to be replaced'
        moves.append(path)
        replace(partial, path, **where)
    monkeypatch.setattr(os, 'replace', move)
    run_here('process', f'tar://{tmp_path}/other.tar', place.uri).assert_success()
    assert any(path.endswith('catalog.json') for path in moves)


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_56_two_processes_with_two_images_of_one_name(place: Place, make_place: MakePlace, archives: dict[str, str],
                                                      occystrap: CommandLine) -> None:
    alone = {variant: make_place() for variant in (OLD, NEW)}
    for variant, other in alone.items():
        run_here('process', archives[variant], other.uri).assert_success()
    codes, output = in_parallel(occystrap, place, [archives[variant] for variant in (OLD, NEW)])
    assert 0 in codes and set(codes) <= {0, 1}, output  # whose image was replaced before it was verified says so
    assert place.tree() in [other.tree() for other in alone.values()]


@pytest.mark.parametrize('destination', ['dir of several'], indirect=True)
def test_56_two_processes_with_different_tags(place: Place, overlapping: list[str], occystrap: CommandLine) -> None:
    codes, output = in_parallel(occystrap, place, [overlapping[0], overlapping[15]])
    assert codes == [0, 0], output
    assert isinstance(place, InDirectory)
    assert json.loads((place.path / 'catalog.json').read_bytes()) == {
        name(number): {'v1': f'manifest-team_app-{number:02}-v1.json'} for number in (0, 15)}
    assert len(list(place.path.glob('*/layer.tar'))) == 4  # base-0 and middle-0 once
    run_here('verify', '--full', f'dir://{place.path}').assert_success()


ALONE = ['tar://{}/a.tar', 'tar://{}/a.tar?format=oci', 'dir://{}/d', 'dir://{}/d?expand=true', 'oci://{}/b']


def interrupted(name: str, destination: str, by: Callable[[], object]) -> None:
    """Write the sample image under a name, and call `by` while it is written."""
    image = sample_image(name, stored=False)
    calls = iter([by])

    def opened(tar: bytes) -> io.BytesIO:
        for call in calls:  # once
            call()
        return io.BytesIO(tar)
    layers = [TarLayer(index, Digest.of(tar), partial(opened, tar)) for index, tar in enumerate(sample_layers())]
    write(Image(image.reference, image.config, layers), destination)


def other(name: str, destination: str, done: list[Receipt]) -> Callable[[], object]:
    """Return what writes another image there in another run, and keeps its receipt."""
    return lambda: done.append(write(sample_image(name, stored=False, variant='other'), destination))


@pytest.mark.parametrize('destination', ALONE)
def test_56_what_another_run_has_just_written_is_not_lost(destination: str, tmp_path: Path) -> None:
    place, done = destination.format(tmp_path), list[Receipt]()
    with pytest.raises(OutputError, match='would be lost'):
        interrupted('team/app:v1', place, other('team/other:v1', place, done))
    assert verify(done[0]).outcome is Outcome.VERIFIED
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]


@pytest.mark.parametrize('destination', ALONE)
def test_56_a_newer_version_replaces_one_that_was_just_written(destination: str, tmp_path: Path) -> None:
    place, done = destination.format(tmp_path), list[Receipt]()
    interrupted('team/app:v1', place, other('team/app:v1', place, done))
    assert verify(done[0]).outcome is Outcome.FAILED


@pytest.mark.parametrize(('destination', 'tree'), [
    ('oci://{}/b', 'b/rootfs'), ('dir://{}/d?expand=true', 'd/manifest')])
def test_56_a_file_that_somebody_has_just_put_there_is_not_lost(destination: str, tree: str, tmp_path: Path) -> None:
    place, mine = destination.format(tmp_path), tmp_path / tree / 'mine'
    write(sample_image('app:v1', stored=False, variant='other'), place)
    with pytest.raises(OutputError, match='was changed since it was written'):
        interrupted('app:v1', place, lambda: mine.write_text('mine'))
    assert mine.read_text() == 'mine'


def test_56_what_another_run_is_publishing_is_not_taken_for_a_change(tmp_path: Path) -> None:
    """Of a tree and its list, which are replaced one after the other, only one may have been seen."""
    place = f'dir://{tmp_path}/d?expand=true'
    write(sample_image('app:v1', stored=False, variant='other'), place)
    there, coming = tmp_path / 'd/manifest', tmp_path / 'd/coming'
    done = list[Receipt]()
    thread = threading.Thread(target=lambda: done.append(write(sample_image('app:v1', stored=False), place)))
    with (tmp_path / 'd/.occystrap/lock').open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there.rename(coming)
        there.mkdir()
        (there / 'file').touch()
        thread.start()
        thread.join(0.5)
        shutil.rmtree(there)
        coming.rename(there)
    thread.join()
    assert [verify(each).outcome for each in done] == [Outcome.VERIFIED]


def test_56_a_bundle_that_is_replaced_while_it_is_verified_is_looked_at_again(tmp_path: Path,
                                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    image, place = partial(sample_image, 'app:v1', stored=False), f'oci://{tmp_path}/b'
    receipt, replaced, see = write(image(), place), list[Receipt](), bundle_verifier._seen

    def replacing(*given: Any) -> Any:
        if not replaced:
            replaced.append(receipt)
            write(image(variant='other'), place)
            write(image(), place)
            hidden = [tmp_path / 'b' / name for name in ('rootfs', 'config.json')]
            for each in hidden:
                each.rename(f'{each}.hidden')
            seen = see(*given)
            for each in hidden:
                Path(f'{each}.hidden').rename(each)
            return seen
        return see(*given)
    monkeypatch.setattr(bundle_verifier, '_seen', replacing)
    assert verify(receipt).outcome is Outcome.VERIFIED
