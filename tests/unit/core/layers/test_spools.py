"""Blobs that are kept or made while a layer is read: what is released, what the new manifest keeps."""
import gc
import os
from dataclasses import replace

import pytest

from occystrap_core import Image, Settings
from occystrap_core.image.layer import NO_OBSERVERS
from occystrap_core.layers.recompression import KeptBlob, spool
from occystrap_core.oci import Manifest
from occystrap_core.pipeline.result_documents import resulting_manifest
from occystrap_core.tar.rewritten_image import LayerPass, RewrittenLayer
from tests.unit.core.pipeline.memory import SHELVES
from tests.unit.core.pipeline.test_image_copy import copy, image_of, output, without


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()


def open_files() -> int:
    """Return the number of open files without a name; threads of earlier tests may still close sockets."""
    gc.collect()
    links = [os.path.join('/proc/self/fd', number) for number in os.listdir('/proc/self/fd')]
    return sum(os.readlink(link).endswith('(deleted)') for link in links if os.path.islink(link))


@pytest.mark.parametrize('name', ['nothing', ''])
def test_a_spooled_layer_is_released(name: str) -> None:
    layer = without(name, image_of(b'\0' * 1024)).layers[0]
    before = open_files()
    spooled = spool(layer, lambda count: None, NO_OBSERVERS, 'gzip', Settings())
    assert open_files() > before
    with spooled.stored() as stream:
        stream.drain()
    spooled.release()
    assert open_files() == before


def test_a_kept_blob_is_closed() -> None:
    before = open_files()
    kept = KeptBlob(image_of(b'\0' * 1024).layers[0], '/tmp')
    kept.write(memoryview(b'x'))
    assert open_files() == before + 1
    kept.close()
    kept.write(memoryview(b'x'))  # is no longer kept
    assert open_files() == before


def annotated() -> Image:
    """Return an image of two layers whose manifest has annotations."""
    image = image_of(b'a' * 512, b'b' * 512)
    assert image.manifest
    manifest = image.manifest
    built = Manifest.build(manifest.config, manifest.layers, manifest.media_type, {'org.example': 'mine'})
    return Image(image.reference, image.config, image.layers, built)


def test_annotations_of_a_manifest_stay_when_layers_change() -> None:
    image = annotated()
    receipt = copy(image, output())
    written = SHELVES['shelf'].images[0]
    assert written.manifest and written.manifest.annotations == {'org.example': 'mine'} and receipt.manifest_digest
    other = resulting_manifest(image, replace(image.config, raw=image.config.raw + b' '), written.layers)
    assert other and other.annotations == {'org.example': 'mine'}


def test_the_end_of_a_layer_is_announced_once_to_each_filter() -> None:
    ended: list[int] = []
    layer = RewrittenLayer(image_of(b'\0' * 1024).layers[0], [
        lambda _, number=number: LayerPass(lambda entry: entry, lambda: ended.append(number)) for number in (1, 2)])
    with layer.tar() as stream:
        chunks = stream.chunks()
        next(chunks)
        assert layer.diff_id is None
        list(chunks)
    assert ended == [1, 2] and layer.diff_id == stream.digest
