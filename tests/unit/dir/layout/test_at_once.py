"""Several runs in one layout in parallel, runs that are killed, and disks that are full."""
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import OccystrapError, OutputError, Receipt, VerifyLevel
from occystrap_core.testing.sample import sample_image
from tests.unit.core.pipeline.indexes import index_of as image_index
from tests.unit.dir.directories import content
from tests.unit.dir.layout.layouts import blobs, findings, names, output, put_blob, write
from tests.unit.dir.layout.test_writer import breaking, visible
from tests.unit.dir.test_at_once import in_processes, is_killed_before_change, kept_receipts, kills


def test_many_processes_fill_one_index(tmp_path: Path) -> None:
    images = [sample_image(f'app{number}:v{tag}', variant=str(number)) for number in range(6) for tag in range(3)]

    def writer(part: int) -> Callable[[], object]:
        return lambda: [write(tmp_path / 'x', image) for image in images[part::4]]
    assert in_processes(*map(writer, range(4))) == [0, 0, 0, 0]
    assert sorted(names(tmp_path / 'x')) == [f'app{number}:v{tag}' for number in range(6) for tag in range(3)]
    assert [findings(receipt, VerifyLevel.FULL) for receipt in kept_receipts(tmp_path / 'x')] == [[]] * 18
    assert len(blobs(tmp_path / 'x')) == 2 + 6 * 3
    assert sorted(os.listdir(tmp_path / 'x/.occystrap')) == ['active', 'lock', 'receipts']


def test_runs_that_fail_or_replace_do_no_harm_to_those_beside_them(tmp_path: Path) -> None:
    def succeed(part: int) -> Callable[[], object]:
        return lambda: [write(tmp_path / 'x', sample_image(f'good{part}:v{tag}', variant=str(tag))) for tag in range(6)]

    def move() -> None:
        for tag in range(6):
            write(f'{tmp_path}/x:moving', sample_image(variant=str(tag)))

    def fail() -> None:
        for tag in range(8):
            with pytest.raises(OccystrapError):
                write(tmp_path / 'x', image_index([sample_image(variant=str(tag)), breaking(sample_image(
                    variant=f'bad{tag}'))], ['linux/amd64', 'linux/arm64']))
    assert in_processes(succeed(1), fail, succeed(2), move) == [0, 0, 0, 0]
    assert len(names(tmp_path / 'x')) == 13
    assert [findings(receipt, VerifyLevel.FULL) for receipt in kept_receipts(tmp_path / 'x')] == [[]] * 13
    assert len(blobs(tmp_path / 'x')) == 2 + 6 * 3, 'of each of six variants a layer, a config, a manifest'


def test_one_image_from_many_processes_is_there_once_and_whole(tmp_path: Path) -> None:
    assert in_processes(*[lambda: write(tmp_path / 'x')] * 5) == [0] * 5
    receipt, = kept_receipts(tmp_path / 'x')
    assert findings(receipt, VerifyLevel.FULL) == [] and len(names(tmp_path / 'x')) == 1


def test_after_being_killed_at_any_moment_a_rerun_gives_the_whole_image(tmp_path: Path) -> None:
    old, new = sample_image(variant='old'), image_index([sample_image(variant='new')], ['linux/amd64'])
    write(f'{tmp_path}/expected:v1', new)
    expected = visible(tmp_path / 'expected')
    write(f'{tmp_path}/x:v1', old)
    for number in kills():
        if not is_killed_before_change(number, lambda: write(f'{tmp_path}/x:v1', new)):
            break
        for receipt in kept_receipts(tmp_path / 'x'):
            assert findings(receipt, VerifyLevel.FULL) == []
        assert findings(write(f'{tmp_path}/x:v1', new), VerifyLevel.FULL) == []
        assert visible(tmp_path / 'x') == expected
        write(f'{tmp_path}/x:v1', old)
    assert number > 20, 'the kills were before changes'


def test_leftovers_of_a_killed_run_are_removed_even_if_the_next_is_killed(tmp_path: Path) -> None:
    write(tmp_path / 'x', sample_image(variant='kept'))
    put_blob(tmp_path / 'x', b'of another program')
    before = visible(tmp_path / 'x')

    def killed(variant: str) -> Callable[[], object]:
        def work() -> None:
            writer = output(tmp_path / 'x')
            image = sample_image(variant=variant)
            writer.prepare(image)
            assert image.manifest
            writer._blobs.put_manifest(image.manifest)
            with writer._workspace.partial() as partial:
                partial.write(b'half')
                os._exit(9)
        return work
    for variant in ('one', 'two'):
        assert in_processes(killed(variant)) == [9]
    assert len(visible(tmp_path / 'x')) == len(before) + 2
    write(tmp_path / 'x', sample_image(variant='kept'))
    assert visible(tmp_path / 'x') == before
    assert not (tmp_path / 'x/.occystrap/temporary').exists()


def test_a_full_disk_is_one_clear_line_and_leaves_the_old_image(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = write(tmp_path, sample_image('one:v1', variant='one'))
    before = content(tmp_path)

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('occystrap_core.files.durability.os.write', full)
    with pytest.raises(OutputError, match='No space left on device: free some space or choose another place'):
        write(tmp_path, sample_image('two:v1', variant='two'))
    assert content(tmp_path) == before and findings(receipt, VerifyLevel.FULL) == []


def test_receipts_stay_apart_whatever_images_are_called(tmp_path: Path) -> None:
    written = [f'{tmp_path}:{name}' for name in ('v1', 'V1', 'r_1', 'r+1', 'x' * 200)]
    receipts: list[Receipt] = [write(path) for path in written]
    assert len(kept_receipts(tmp_path)) == len(receipts) == len({
        path.name.lower() for path in (tmp_path / '.occystrap/receipts').iterdir()})
    assert [findings(receipt) for receipt in receipts] == [[]] * len(receipts)
