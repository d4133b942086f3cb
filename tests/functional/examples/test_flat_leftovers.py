"""What the example of a writer does beside leftovers, other runs, and things that are not its own."""
import errno
import fcntl
import os
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_core.files import lock_if_current
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.writer_conformance import WriterConformance

HEX = '0123456789abcdef'
LAYER = f'{HEX * 4}.tar'
CONFIG = '{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' % (HEX * 4)


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> WriterConformance:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / 'docs/examples/occystrap-flat')
    made = WriterConformance()
    made.plugin, made.uri = 'occystrap_flat.plugin', 'flat://{directory}/image'
    return made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The directory of an image, with a layer that only a killed run names."""
    (left := tmp_path / f'image/.flat-{HEX}.partial').mkdir(parents=True)
    (left / 'config.json').write_text(CONFIG)
    (tmp_path / 'image' / LAYER).write_bytes(b'layer')
    return tmp_path / 'image'


def names(directory: Path) -> set[str]:
    return {*os.listdir(directory)}


def begin(kit: WriterConformance, directory: Path) -> None:
    """Begin to write, and stop."""
    with kit.run() as settings:
        output = kit.output(directory, settings)
        try:
            output.prepare(sample_image())
        finally:
            output.abort()


def test_layers_of_killed_runs_are_removed(kit: WriterConformance, image: Path) -> None:
    begin(kit, image.parent)
    assert not names(image)


def test_without_locks_an_image_is_written_and_nothing_counts_as_abandoned(
        kit: WriterConformance, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(fcntl, 'flock', no_locks)
    begin(kit, image.parent)
    assert names(image) == {f'.flat-{HEX}.partial', LAYER}
    kit.require_verified(kit.write(image.parent, sample_image()))


def test_a_directory_is_removed_if_no_image_is_begun_in_it(kit: WriterConformance, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt
    monkeypatch.setattr(fcntl, 'flock', interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin(kit, tmp_path)
    assert not names(tmp_path)


def test_what_another_run_left_while_the_lock_was_waited_for_is_seen(kit: WriterConformance, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def late(descriptor: int, *others: object) -> int | None:
        (tmp_path / 'image/thesis').write_bytes(b'thesis')
        return lock_if_current(descriptor, *others)  # type: ignore[arg-type]
    with kit.run() as settings:
        kit.output(tmp_path, settings)  # imports the writer
    monkeypatch.setattr('occystrap_flat.writer.lock_if_current', late)
    with pytest.raises(OutputError, match='holds no image of this format'):
        begin(kit, tmp_path)
    assert names(tmp_path / 'image') == {'thesis'}


def test_layers_beside_a_config_that_cannot_be_read_are_kept(kit: WriterConformance, image: Path) -> None:
    (image / 'config.json').write_text(CONFIG[:-10])
    begin(kit, image.parent)
    assert names(image) == {'config.json', LAYER}


def test_directories_with_names_of_its_files_are_not_its_own(kit: WriterConformance, image: Path) -> None:
    kit.write(image.parent, sample_image())
    for name in (f'.flat-{HEX}.partial/config.json', LAYER):
        (image / name).mkdir(parents=True)
    kit.require_verified(kit.write(image.parent, sample_image(variant='other')))
    assert names(image) >= {f'.flat-{HEX}.partial', LAYER}
    (image / 'config.json').unlink()
    (image / 'config.json').mkdir()
    with pytest.raises(OutputError, match='holds no image of this format'):
        begin(kit, image.parent)
