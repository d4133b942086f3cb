"""normalize-timestamps through the real pipeline: layers, diff_ids, config and manifest stay consistent."""
import io
import tarfile
from pathlib import Path

import pytest

from occystrap_core.errors import UsageError
from occystrap_core.filters.normalize_timestamps import NormalizeTimestamps
from occystrap_core.filters.rewriting import RewrittenLayer
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_image, sample_layers


def normalising(seconds: int) -> NormalizeTimestamps:
    """Return the filter."""
    return NormalizeTimestamps({'ts': seconds}, Settings())


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
