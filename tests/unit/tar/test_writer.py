"""Archives come out the same whatever the hints of sizes said, whole or not at all."""
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.errors import DigestMismatch, OutputError
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, StoredLayer
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from tests.unit.tar.archives import copy, verify, write


def hinting(hint: Callable[[int], int | None]) -> Image:
    """Return the sample image with layers whose size hints are made from the right ones."""
    image = sample_image()
    layers: list[Layer] = []
    for layer in image.layers:
        assert isinstance(layer, StoredLayer) and layer.descriptor and layer.diff_id
        with layer.tar() as stream:
            stream.drain()
        layers.append(StoredLayer(layer.index, layer.descriptor, layer.diff_id, layer._opener,
                                  lambda size=stream.size: hint(size)))  # type: ignore[misc]
    return Image(image.reference, image.config, layers, image.manifest)


HINTS: dict[str, Callable[[int], int | None]] = {
    'none': lambda size: None, 'right': lambda size: size, 'too small': lambda size: size - 700,
    'too large': lambda size: size + 5000, 'zero': lambda size: 0, 'absurd': lambda size: 1 << 50}


@pytest.mark.parametrize('jobs', [1, 4])
@pytest.mark.parametrize('name', HINTS)
def test_same_bytes_whatever_the_hints(name: str, jobs: int, tmp_path: Path) -> None:
    right = write(hinting(lambda size: size), f'tar://{tmp_path}/right.tar')
    receipt = write(hinting(HINTS[name]), f'tar://{tmp_path}/hinted.tar', Settings(sync=False, jobs=jobs))
    assert (tmp_path / 'hinted.tar').read_bytes() == (tmp_path / 'right.tar').read_bytes()
    assert verify(right).outcome is verify(receipt).outcome is Outcome.VERIFIED
    assert sorted(os.listdir(tmp_path)) == ['hinted.tar', 'right.tar']


def test_oci_archive_keeps_manifest_and_blobs_there_and_back(tmp_path: Path) -> None:
    image = sample_image()
    assert image.manifest
    first = write(image, f'tar://{tmp_path}/a.tar?format=oci')
    second = copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar?format=oci')
    assert first.manifest_digest == second.manifest_digest == image.manifest.digest
    assert (tmp_path / 'a.tar').read_bytes() == (tmp_path / 'b.tar').read_bytes()


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_layers_without_blobs_are_compressed(compression: str, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        receipt = write(sample_image(stored=False), f'tar://{tmp_path}/{name}.tar?format=oci&compression={compression}')
        assert verify(receipt).outcome is Outcome.VERIFIED
    assert (tmp_path / 'a.tar').read_bytes() == (tmp_path / 'b.tar').read_bytes()
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/c.tar').image_id == sample_image().config.digest


def test_layer_listed_twice_is_written_once(tmp_path: Path) -> None:
    from occystrap_core.oci import ImageConfig
    from occystrap_core.testing.sample import sample_config, sample_layers
    tars = sample_layers()
    image = sample_image()
    config = ImageConfig.parse(sample_config([tars[0], tars[1], tars[0]]))
    layers = [image.layers[0], image.layers[1], sample_image().layers[0]]
    layers[2].index = 2
    receipt = write(Image(image.reference, config, layers), f'tar://{tmp_path}/a.tar')
    assert len(receipt.of_kind('layer')) == 2
    assert verify(receipt).outcome is Outcome.VERIFIED
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar').image_id == config.digest


@pytest.mark.parametrize('option', ['', '?format=oci'])
def test_failure_leaves_the_old_archive_and_nothing_else(option: str, tmp_path: Path) -> None:
    target = tmp_path / 'a.tar'
    write(sample_image(), f'tar://{target}{option}')
    before = target.read_bytes()
    broken = sample_image()
    broken.layers[1]._opener = broken.layers[0]._opener  # type: ignore[attr-defined]
    with pytest.raises(DigestMismatch):
        write(broken, f'tar://{target}{option}')
    assert target.read_bytes() == before and os.listdir(tmp_path) == ['a.tar']


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    def unread() -> int:
        raise AssertionError('a layer was read')
    image = hinting(lambda size: unread())
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    for target, words in [('folder', 'is a folder'), ('missing/a.tar', 'no folder'), ('file/a.tar', 'no folder')]:
        with pytest.raises(OutputError, match=words):
            write(image, f'tar://{tmp_path}/{target}')
