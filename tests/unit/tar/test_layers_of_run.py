"""Archives of one run take the layers that they share from each other, and from the source where that fails."""
import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.errors import DigestMismatch
from occystrap_core.files.stream import Readable
from occystrap_core.image.image import Image
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.plugins.manager import build_plugin_manager
from occystrap_core.plugins.resolver import destination_location
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_layers
from occystrap_core.verification.results import Outcome
from occystrap_tar.writer import tar_output
from tests.unit.tar.archives import verify, write
from tests.unit.tar.images import image_of, with_same_times

FORMATS = pytest.mark.parametrize('option', ['', '?format=oci'])


class Source:
    """Makes one image again and again, and counts how often its layers are opened."""

    def __init__(self, hint: Callable[[int], int | None] = lambda size: size) -> None:
        self.opened, self._hint = 0, hint

    def image(self) -> Image:
        image = image_of(sample_layers(), self._hint)
        for layer in image.layers:
            layer._opener = self._counted(layer._opener)  # type: ignore[attr-defined]
        return image

    def _counted(self, opener: Callable[[], Readable]) -> Callable[[], Readable]:
        def opened() -> Readable:
            self.opened += 1
            return opener()
        return opened


def same_archives(directory: Path, option: str, settings: Settings, source: Source, count: int = 3,
                  change: Callable[[Image], Image] = lambda image: image) -> None:
    for number in range(count):
        receipt = write(change(source.image()), f'tar://{directory}/{number}.tar{option}', settings)
        assert verify(receipt).outcome is Outcome.VERIFIED
        assert (directory / f'{number}.tar').read_bytes() == (directory / '0.tar').read_bytes()


@FORMATS
def test_each_layer_is_read_from_its_source_once(option: str, tmp_path: Path) -> None:
    source = Source()
    same_archives(tmp_path, option, Settings(), source)
    assert source.opened == len(sample_layers())


def test_another_run_reads_the_source_again(tmp_path: Path) -> None:
    source = Source()
    for number in range(2):
        write(source.image(), f'tar://{tmp_path}/{number}.tar', Settings())
    assert source.opened == 2 * len(sample_layers())


@FORMATS
@pytest.mark.parametrize('hint', [0, 700, 1 << 20])
def test_wrong_hints(hint: int, option: str, tmp_path: Path) -> None:
    same_archives(tmp_path, option, Settings(), Source(lambda size: hint))


@FORMATS
def test_a_missing_archive(option: str, tmp_path: Path) -> None:
    source, settings = Source(), Settings()
    write(source.image(), f'tar://{tmp_path}/first.tar{option}', settings)
    (tmp_path / 'first.tar').unlink()
    same_archives(tmp_path, option, settings, source)
    assert source.opened == 2 * len(sample_layers())


@FORMATS
def test_an_archive_that_was_damaged_meanwhile(option: str, tmp_path: Path) -> None:
    source, settings = Source(), Settings()
    write(source.image(), f'tar://{tmp_path}/first.tar{option}', settings)
    size = (tmp_path / 'first.tar').stat().st_size
    (tmp_path / 'first.tar').write_bytes(bytes(size))
    same_archives(tmp_path, option, settings, source)
    assert source.opened == 2 * len(sample_layers())


@FORMATS
def test_an_archive_that_was_cut_meanwhile(option: str, tmp_path: Path) -> None:
    source, settings = Source(), Settings()
    write(source.image(), f'tar://{tmp_path}/first.tar{option}', settings)
    with (tmp_path / 'first.tar').open('r+b') as file:
        file.truncate(1000)
    same_archives(tmp_path, option, settings, source)


@FORMATS
def test_the_user_hears_of_an_archive_that_was_damaged_meanwhile(option: str, tmp_path: Path) -> None:
    settings, notes = Settings(), list[str]()
    for number in range(2):
        location = destination_location(build_plugin_manager(), f'tar://{tmp_path}/{number}.tar{option}')
        writer = tar_output(location, settings)
        ImageCopy(Source().image(), writer, settings, 'sample').run()
        notes += writer.notes
        (tmp_path / f'{number}.tar').write_bytes(bytes((tmp_path / f'{number}.tar').stat().st_size))
    assert len(notes) == len(sample_layers())
    assert all(f'a layer that is also in {tmp_path}/0.tar was read from its source again' in note for note in notes)


@FORMATS
def test_an_archive_that_failed(option: str, tmp_path: Path) -> None:
    settings, good = Settings(jobs=1), sample_layers()
    broken = image_of([*good, b'x' * 10240])
    broken.layers[-1].diff_id = image_of(good).layers[0].diff_id
    with pytest.raises(DigestMismatch):
        write(broken, f'tar://{tmp_path}/broken.tar', settings)
    assert not list(tmp_path.iterdir())
    same_archives(tmp_path, option, settings, Source())


@FORMATS
def test_filtered_layers_are_made_once(option: str, tmp_path: Path) -> None:
    same_archives(tmp_path, option, Settings(), Source(), change=with_same_times)


def test_nothing_stays_open(tmp_path: Path) -> None:
    settings = Settings()
    same_archives(tmp_path, '', settings, Source(), count=5)
    gc.collect()
    assert not [each for each in Path('/proc/self/fd').iterdir() if str(tmp_path) in str(each.resolve())]
