"""Inspections: each image has its own outcome."""
import json
from pathlib import Path

import pytest

from occystrap_core import Image, InvalidImage, Layer, Settings
from occystrap_core.image.layer import ReadObservers
from occystrap_core.oci import ImageConfig
from occystrap_core.pipeline.inspection import read_layers
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.hostile.in_process import run_here


def test_each_image_that_cannot_be_opened_has_its_own_finding(tmp_path: Path) -> None:
    names = ['one', 'other', 'third']
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / 'manifest.json').write_text(f'[{{"Config": "{name}"')
    (tmp_path / 'list').write_text(''.join(f'dir://{tmp_path}/{name}\n' for name in names))
    images = json.loads(run_here('check', f'list://{tmp_path}/list', '-O', 'json').assert_code(1).out)['images']
    assert [each['reference'] for each in images] == [f'dir://{tmp_path}/{name}' for name in names]
    for name, image in zip(names, images, strict=True):
        assert name in str(image['findings']) and not image['failure'], image


def tars_of(image: Image, advance: list[int], broken: int = -1) -> list[bytes]:
    """Read all layers, as an inspection does; the layer at the place `broken` cannot be read."""
    read: list[bytes] = []

    def look(layer: Layer, observers: ReadObservers) -> None:
        if layer.index == broken:
            raise InvalidImage('this one is broken')
        with layer.tar(observers) as stream:
            read.append(b''.join(bytes(chunk) for chunk in stream.chunks()))
    settings = Settings()
    try:
        read_layers(image, settings, look, advance.append)
    finally:
        settings.shared.close()
    return read


def test_each_layer_is_read_once_and_all_bytes_are_counted() -> None:
    moved: list[int] = []
    image = sample_image()
    tars = sample_layers()
    config = ImageConfig.parse(sample_config([*tars, tars[0]]))
    twice = Image(image.reference, config, [*image.layers, image.layers[0]])
    assert sorted(tars_of(twice, moved)) == sorted(sample_layers())
    assert sum(moved) == sum(layer.stored_size for layer in image.layers)


@pytest.mark.parametrize('broken', range(3))
def test_a_layer_that_cannot_be_read_is_an_error(broken: int) -> None:
    with pytest.raises(InvalidImage, match='this one is broken'):
        tars_of(sample_image(), [], broken)
