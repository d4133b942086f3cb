"""normalize-timestamps through the real pipeline: layers, diff_ids, config and manifest stay consistent."""
import io
import tarfile
from pathlib import Path

import pytest

from occystrap_core.api.uri import Location
from occystrap_core.errors import UsageError
from occystrap_core.filters.normalize_timestamps import NormalizeTimestamps
from occystrap_core.image.derived import DerivedImage
from occystrap_core.oci import ImageConfig
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.settings import Settings
from occystrap_core.tar.rewritten_image import RewrittenLayer
from occystrap_core.testing.sample import sample_image, sample_layers
from tests.unit.core.pipeline.memory import SHELVES, MemoryOutput


def normalising(seconds: int, config: bool = False) -> NormalizeTimestamps:
    """Return the filter."""
    return NormalizeTimestamps({'ts': seconds, 'config': config}, Settings())


def test_every_entry_of_every_layer_gets_the_time() -> None:
    image = normalising(0).apply(sample_image())
    for layer in image.layers:
        assert layer.diff_id is None
        with layer.tar() as stream:
            content = b''.join(bytes(chunk) for chunk in stream.chunks())
        assert layer.diff_id == stream.digest != layer.source.diff_id
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert {member.mtime for member in archive} == {0}


def test_layers_that_have_the_time_already_are_unchanged() -> None:
    image = normalising(1_500_000_000).apply(sample_image())
    for layer in image.layers[:2]:  # the third has extended headers, whose own time is another
        with layer.tar() as stream:
            assert stream.drain() == layer.source.diff_id


def test_neighbouring_filters_share_one_pass() -> None:
    image = normalising(5).apply(normalising(0).apply(sample_image()))
    layer = image.layers[0]
    assert isinstance(layer, RewrittenLayer) and not isinstance(layer.original, RewrittenLayer)
    with layer.tar() as stream, tarfile.open(fileobj=io.BytesIO(b''.join(map(bytes, stream.chunks())))) as archive:
        assert {member.mtime for member in archive} == {5}


def test_the_original_is_checked_on_the_way(tmp_path: Path) -> None:
    from occystrap_core.errors import DigestMismatch
    from occystrap_core.image.layer import TarLayer
    from occystrap_core.oci import Digest
    tar = sample_layers()[0]
    wrong = TarLayer(0, Digest.of(b'another'), lambda: io.BytesIO(tar))
    with pytest.raises(DigestMismatch), RewrittenLayer(wrong, []).tar() as stream:
        stream.drain()


@pytest.mark.parametrize('seconds', [-1, 8 ** 11])
def test_times_that_a_header_cannot_hold_are_refused(seconds: int) -> None:
    with pytest.raises(UsageError, match='ts='):
        normalising(seconds)


def test_the_config_and_its_history_get_the_time_where_asked_and_nothing_else_changes() -> None:
    before, after = sample_image().config, normalising(86400, config=True).apply(sample_image()).config
    assert after.document['created'] == '1970-01-02T00:00:00Z'
    assert {step['created'] for step in after.history} == {'1970-01-02T00:00:00Z'}
    untimed = [{**each.document, 'created': '', 'history': [{**step, 'created': ''} for step in each.history]}
               for each in (before, after)]
    assert untimed[0] == untimed[1] and after.diff_ids == before.diff_ids
    assert normalising(0).apply(sample_image()).config == before


def test_a_config_that_has_the_time_or_none_keeps_its_bytes() -> None:
    config = sample_image().config
    once = config.with_times(5)
    assert once.with_times(5) is once
    timeless = ImageConfig.parse(b'{"rootfs": {"type": "layers", "diff_ids": []}, "created": null, "history": [7, {}]}')
    assert timeless.with_times(5) is timeless


def test_a_changed_config_alone_makes_a_new_image(tmp_path: Path) -> None:
    image = sample_image()
    changed = DerivedImage(image, change_config=lambda config: config.with_times(9))
    assert changed.source is image and changed.config.digest != image.config.digest
    location = Location('memory', 'config', {}, {})
    receipt = ImageCopy(changed, MemoryOutput(location, Settings()), Settings(), 'memory://x').run()
    written, = SHELVES['config'].images
    assert receipt.image_id == changed.config.digest == written.config.digest
    assert written.manifest and image.manifest and written.manifest.config.digest == written.config.digest
    assert written.manifest.layers == image.manifest.layers
