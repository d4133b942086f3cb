"""Writing to a directory that holds something already: whole, damaged, or left by a run that was stopped."""
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Evidence, Layer, OutputError, Receipt, VerifyLevel
from occystrap_core.files import DigestMismatch, Readable
from occystrap_core.image.image import Image
from occystrap_core.oci import Digest
from occystrap_core.tar import StoredLayer, TarLayer
from occystrap_core.testing.sample import sample_image, sample_layers
from tests.unit.dir.directories import SETTINGS, content, findings, layer_files, output, read_json, write, write_several

LAYER = f'{Digest.of(sample_layers()[0]).hex}/layer.tar'


def unreadable(image: Image) -> Image:
    """The image with layers that must not be read, since they are there already."""
    def opener() -> Readable:
        raise AssertionError('a layer that is there was read again')
    layers: list[Layer] = [TarLayer(index, diff_id, opener) for index, diff_id in enumerate(image.diff_ids)]
    return Image(image.reference, image.config, layers)


def test_layers_that_are_there_are_not_read_again(tmp_path: Path) -> None:
    write(tmp_path)
    before = content(tmp_path)
    receipt = write(tmp_path, unreadable(sample_image(stored=False)))
    assert receipt.evidence is Evidence.DESCRIPTOR and findings(receipt, VerifyLevel.FULL) == []
    assert {name: data for name, data in content(tmp_path).items() if 'receipts' not in name} == {
        name: data for name, data in before.items() if 'receipts' not in name}


def test_the_kept_receipt_remembers_what_was_seen(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path)
    kept = Receipt.from_json((tmp_path / '.occystrap/receipts/manifest.json').read_text())
    assert kept.evidence is Evidence.STREAMED


def test_layers_without_a_receipt_are_hashed_before_they_are_trusted(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / '.occystrap/receipts/manifest.json').unlink()
    receipt = write(tmp_path, unreadable(sample_image(stored=False)))
    assert receipt.evidence is Evidence.STREAMED


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20000] ^= 1
    path.write_bytes(data)


def forget(path: Path) -> None:
    flip(path)
    (path.parents[1] / '.occystrap/receipts/manifest.json').unlink()


def link(path: Path) -> None:
    path.rename(path.parents[1] / 'other')
    path.symlink_to('../other')


def damaged_receipt(path: Path) -> None:
    flip(path)
    (path.parents[1] / '.occystrap/receipts/manifest.json').write_text('{"receipt": 1')


@pytest.mark.parametrize('damage', [cut, Path.unlink, forget, link, damaged_receipt])
def test_a_damaged_layer_is_written_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write(tmp_path)
    before = content(tmp_path)
    damage(tmp_path / LAYER)
    assert findings(write(tmp_path), VerifyLevel.FULL) == []
    assert {**content(tmp_path), **before} == content(tmp_path) and not (tmp_path / LAYER).is_symlink()


@pytest.mark.parametrize('name', ['manifest.json', 'catalog.json', f'{sample_image().config.digest.hex}.json'])
@pytest.mark.parametrize('damage', [cut, Path.unlink])
def test_a_damaged_document_is_written_again(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    write(tmp_path)
    before = content(tmp_path)
    damage(tmp_path / name)
    assert findings(write(tmp_path), VerifyLevel.FULL) == [] and content(tmp_path) == before


@pytest.mark.parametrize('damaged', [b'', b'{', b'[]', b'{"one": "x"}'])
def test_a_damaged_catalog_of_several_images_is_made_again_on_demand(tmp_path: Path, damaged: bytes) -> None:
    receipts = write_several(tmp_path, 'a.example/one:v1', 'b.example/one:v1', 'two:v1')
    whole = (tmp_path / 'catalog.json').read_bytes()
    (tmp_path / 'catalog.json').write_bytes(damaged)
    with pytest.raises(OutputError, match='/catalog.json.*add --rebuild-index'):
        write_several(tmp_path, 'two:v1')
    again = replace(SETTINGS, rebuild_index=True)
    write(tmp_path, sample_image('two:v1', variant='two:v1'), unique=True, settings=again)
    assert (tmp_path / 'catalog.json').read_bytes() == whole
    assert [findings(receipt) for receipt in receipts] == [[], [], []]


def breaking(image: Image) -> Image:
    """The image with a last layer whose content is not its diff_id's."""
    last, other = image.layers[-1], image.layers[0]
    assert isinstance(other, StoredLayer) and last.diff_id and other.descriptor
    wrong = StoredLayer(2, other.descriptor, last.diff_id, other._opener)
    return Image(image.reference, image.config, [*image.layers[:2], wrong])


@pytest.mark.parametrize('unique', [False, True])
def test_a_failed_run_leaves_other_images_and_no_trace(tmp_path: Path, unique: bool) -> None:
    receipt = write(tmp_path, sample_image('one:v1', variant='one'), unique)
    before = sorted(tmp_path.rglob('*')), content(tmp_path)
    with pytest.raises(DigestMismatch):
        write(tmp_path, breaking(sample_image('one:v2')), unique)
    assert (sorted(tmp_path.rglob('*')), content(tmp_path)) == before
    assert findings(receipt, VerifyLevel.FULL) == []


def test_leftovers_of_a_killed_run_are_used_or_removed_by_the_next(tmp_path: Path) -> None:
    write(tmp_path / 'clean')
    killed = os.fork()
    if killed == 0:
        writer = output(tmp_path / 'x')
        writer.prepare(sample_image())
        for layer in (sample_image().layers[0], sample_image(variant='never finished').layers[2]):
            writer.write_layer(Whole(layer))
        with writer._workspace.partial():
            os._exit(9)
    os.waitpid(killed, 0)
    assert len(layer_files(tmp_path / 'x')) == 2 and any((tmp_path / 'x/.occystrap/temporary').iterdir())
    assert findings(write(tmp_path / 'x'), VerifyLevel.FULL) == []
    names = {name: data for name, data in content(tmp_path / 'x').items() if 'receipts' not in name}
    assert names == {name: data for name, data in content(tmp_path / 'clean').items() if 'receipts' not in name}


def test_files_of_others_are_not_swept_away(tmp_path: Path) -> None:
    write(tmp_path, sample_image(variant='old'))
    other = tmp_path / Digest.of(sample_layers('old')[2]).hex / 'notes.txt'
    for path in (tmp_path / 'README', other):
        path.write_text('mine')
    write(tmp_path)
    assert other.exists() and (tmp_path / 'README').exists() and len(layer_files(tmp_path)) == 3
    assert len(read_json(tmp_path / 'manifest.json')) == 1


class Whole:
    """A layer as a writer sees it."""

    def __init__(self, layer: Layer) -> None:
        self.index, self.diff_id, self.descriptor = layer.index, layer.diff_id, None
        self.source_blob = None
        self.open, self.tar_size = layer.tar, layer.tar_size


def test_full_verification_hashes_what_is_there_before_it_is_trusted(tmp_path: Path) -> None:
    from dataclasses import replace

    from occystrap_core import Settings, VerifyLevel
    from occystrap_core.api.uri import Location
    from occystrap_core.pipeline.image_copy import ImageCopy
    from occystrap_core.testing.sample import sample_image
    from occystrap_dir.directory.writer import DirOutput

    def copy(settings: Settings) -> None:
        location = Location('dir', str(tmp_path / 'out'), {'unique_names': False}, {})
        ImageCopy(sample_image(), DirOutput(location, settings), settings, 'memory://').run()

    copy(Settings(sync=False))
    layer = next((tmp_path / 'out').glob('*/layer.tar'))
    whole = layer.read_bytes()
    layer.write_bytes(whole[:600] + bytes([whole[600] ^ 1]) + whole[601:])
    copy(Settings(sync=False))
    assert layer.read_bytes() != whole, 'a flipped bit of the same size is not seen by fast'
    copy(replace(Settings(sync=False), verify=VerifyLevel.FULL))
    assert layer.read_bytes() == whole
