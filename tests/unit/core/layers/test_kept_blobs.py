"""Filtered layers that go where stored blobs go: read once, compressed only from the first change on."""
import gzip
import io
import random
import tarfile
from functools import cache
from pathlib import Path

import pytest
import zstandard
from isal import igzip

from occystrap_core import Image, InvalidImage, OutputError, Settings
from occystrap_core.api.uri import Location
from occystrap_core.files import compressors
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Manifest, Reference, media_types
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import StoredLayer
from occystrap_core.testing.sample import sample_config
from tests.services.requirements import EVERYTHING
from tests.unit.core.image.sources import Source
from tests.unit.core.pipeline.memory import SHELVES, MemoryOutput, Shelf, Without

SUFFIXES = {'gzip': '+gzip', 'zstd': '+zstd', 'none': ''}
COUNT = 24


@cache
def big_tar(seed: int) -> bytes:
    """Return a tar of some MiB, half of which can be compressed."""
    numbers = random.Random(seed)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as tar:
        for number in range(COUNT):
            content = numbers.randbytes(60_000) + bytes(60_000)
            member = tarfile.TarInfo(f'file-{number:02}')
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


@cache
def packed(tar: bytes, kind: str) -> bytes:
    """Return a blob, by other libraries than the copy uses, in several members or frames."""
    half = len(tar) // 2
    if kind == 'gzip':
        return gzip.compress(tar[:half], 1) + gzip.compress(tar[half:], 1)
    if kind == 'zstd':
        return zstandard.compress(tar[:half], 1) + zstandard.compress(tar[half:], 1)
    return tar


def image_of(tar: bytes, kind: str, step: int, wrong_type: str | None = None) -> tuple[Image, list[Source]]:
    """Return an image of one layer, and the list of all that is opened of it; `said` is its media type, if wrong."""
    blob, opened = packed(tar, kind), []

    def opener() -> Source:
        opened.append(Source(blob, step))
        return opened[-1]
    layer = StoredLayer(0, Descriptor(wrong_type or media_types.OCI_LAYER + SUFFIXES[kind], Digest.of(blob), len(blob)),
                        Digest.of(tar), opener)
    config = ImageConfig.parse(sample_config([tar]))
    pointer = Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw))
    assert layer.descriptor
    return Image(Reference.parse('big:v1'), config, [layer], Manifest.build(pointer, [layer.descriptor])), opened


def copied(image: Image, leaves: str, directory: Path) -> Shelf:
    """Copy without the entries named, and return where everything is."""
    SHELVES.clear()
    settings = Settings(temporary=str(directory))
    filtered = Without({'name': leaves}, settings).apply(image)
    location = Location('memory', 'shelf', {}, {})
    ImageCopy(filtered, MemoryOutput(location, settings), settings, 'memory://source').run()
    return SHELVES['shelf']


STEPS = (1 << 30, 50_000, 997)
PLACES = (0, 1, COUNT // 2, COUNT - 1)
CHANGES = [(last, kind, step) for place, last in enumerate(PLACES) for number, kind in enumerate(SUFFIXES)
           for turn, step in enumerate(STEPS) if EVERYTHING or (place + number + turn) % len(STEPS) == 0]
"""Each two of a place, a compression and a number of bytes that the source gives at a time; or all three."""


@pytest.mark.parametrize(('last', 'kind', 'step'), CHANGES)
def test_a_change_anywhere(last: int, kind: str, step: int, tmp_path: Path) -> None:
    tar = big_tar(last)
    image, opened = image_of(tar, kind, step)
    shelf = copied(image, f'file-{last:02}', tmp_path)
    layer, = shelf.images[0].layers
    assert layer.descriptor and len(opened) == 1
    result = igzip.decompress(shelf.blobs[layer.descriptor.digest])
    start = tar.index(f'file-{last:02}'.encode())
    assert Digest.of(result) == layer.diff_id == shelf.images[0].config.diff_ids[0]
    assert result == tar[:start] + tar[start + 512 + 120_320:]


@pytest.mark.parametrize('kind', SUFFIXES)
@pytest.mark.parametrize('wrong_type', [*(media_types.OCI_LAYER + suffix for suffix in SUFFIXES.values()),
                                        'application/octet-stream'])
def test_a_change_in_a_layer_of_another_compression_than_said(wrong_type: str, kind: str, tmp_path: Path) -> None:
    tar = big_tar(COUNT // 2)
    image, _ = image_of(tar, kind, 50_000, wrong_type)
    shelf = copied(image, f'file-{COUNT // 2:02}', tmp_path)
    layer, = shelf.images[0].layers
    assert layer.descriptor and layer.descriptor.media_type == f'{media_types.OCI_LAYER}+gzip'
    result = igzip.decompress(shelf.blobs[layer.descriptor.digest])
    start = tar.index(f'file-{COUNT // 2:02}'.encode())
    assert result == tar[:start] + tar[start + 512 + 120_320:]


@pytest.mark.parametrize('step', [1 << 30, 50_000])
@pytest.mark.parametrize('kind', SUFFIXES)
def test_nothing_changed_keeps_the_blob_and_compresses_nothing(kind: str, step: int, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compressors, 'compress')
    image, opened = image_of(big_tar(5), kind, step)
    shelf = copied(image, 'nothing', tmp_path)
    assert len(opened) == 1 and shelf.images[0].manifest is image.manifest
    assert Digest.of(shelf.blobs[image.manifest.layers[0].digest]) == image.manifest.layers[0].digest


def test_no_room_for_the_blob(tmp_path: Path) -> None:
    image, _ = image_of(big_tar(6), 'gzip', 1 << 30)
    with pytest.raises(OutputError, match='--temp-dir'):
        copied(image, 'nothing', tmp_path / 'missing')


@pytest.mark.parametrize('leaves', ['nothing', 'file-12'])
def test_a_damaged_blob_is_found(leaves: str, tmp_path: Path) -> None:
    image, _ = image_of(big_tar(7), 'gzip', 1 << 30)
    blob = packed(big_tar(7), 'gzip')
    image.layers[0]._opener = lambda: Source(blob[:-9] + bytes(9))  # type: ignore[attr-defined]
    with pytest.raises(InvalidImage):
        copied(image, leaves, tmp_path)
