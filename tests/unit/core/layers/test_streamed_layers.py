"""Layers whose blobs a writer takes while they are made: which ones, and what it gets if it does not want them."""
import random
from pathlib import Path

import pytest

from occystrap_core import Image, OutgoingLayer, Settings, WrittenLayer
from occystrap_core.oci import Digest, ImageConfig
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import TarLayer
from occystrap_core.testing.sample import sample_config
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import SHELVES, MemoryOutput, Shelf, Stream
from tests.unit.core.pipeline.test_image_copy import REFERENCE, image_of, output, without

TARS = [random.Random(3).randbytes(1 << 20) * 3, bytes(2048)]


class Taking(MemoryOutput):
    """Takes blobs while they are made, unless the option `wants` says no."""

    streamed: list[Digest]

    def stream_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        assert layer.descriptor is None and layer.diff_id == Digest.of(TARS[layer.index])
        if self.location.options.get('wants') == 'never':
            return None
        with layer.open() as stream:
            content = b''.join(bytes(chunk) for chunk in stream.chunks())
        if self.location.options.get('wants') == 'not any more':
            return None
        assert layer.descriptor and layer.descriptor.digest == Digest.of(content)
        self.shelf.blobs[layer.descriptor.digest] = content
        return WrittenLayer(layer.descriptor.digest)


@pytest.fixture(autouse=True)
def shelf() -> Shelf:
    """An empty destination."""
    SHELVES.clear()
    return SHELVES.setdefault('shelf', Shelf())


def tars() -> Image:
    layers = [TarLayer(index, Digest.of(tar), lambda tar=tar: Source(tar), len(tar))  # type: ignore[misc]
              for index, tar in enumerate(TARS)]
    return Image(REFERENCE, ImageConfig.parse(sample_config(TARS)), layers)


def copy(image: Image, recipe: str | None = '', settings: Settings = Settings(), **options: str) -> list[Digest]:
    """Copy an image and return the digests of its layers as they were written."""
    receipt = ImageCopy(image, output(Taking, settings, **options), settings, 'memory://source', recipe=recipe).run()
    manifest = SHELVES['shelf'].images[-1].manifest
    assert manifest
    layers = [each.digest for each in receipt.of_kind('layer')]
    assert layers == [each.digest for each in manifest.layers]
    return layers


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
@pytest.mark.parametrize('wants', ['never', 'not any more'])
def test_a_streamed_blob_equals_the_one_made_before(wants: str, compression: str, shelf: Shelf) -> None:
    streamed = copy(tars(), compression=compression)
    assert shelf.writes == []
    shelf.blobs.clear()
    assert copy(tars(), compression=compression, wants=wants) == streamed and set(shelf.writes) == set(streamed)


def test_nothing_is_kept_meanwhile(tmp_path: Path) -> None:
    nowhere = Settings(temporary=str(tmp_path / 'missing'))
    assert len(copy(tars(), settings=nowhere)) == 2


def test_a_layer_that_can_be_read_once_is_made_before(shelf: Shelf) -> None:
    made = copy(tars(), recipe=None)
    assert set(shelf.writes) == set(made), 'a filter without a recipe may report what it sees'
    shelf.writes.clear()
    shelf.blobs.clear()
    copy(Stream(REFERENCE, tars().config, TARS))
    assert set(shelf.writes) == set(made)


def test_blobs_of_the_source_are_never_made_anew(shelf: Shelf) -> None:
    image = image_of(*TARS)
    assert image.manifest and copy(image) == [each.digest for each in image.manifest.layers]
    shelf.blobs.clear()
    assert copy(without('nothing', image_of(bytes(2048)))) == [image_of(bytes(2048)).layers[0].stored().drain()]
