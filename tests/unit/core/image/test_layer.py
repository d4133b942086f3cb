"""Layers: stored bytes checked against the descriptor, tars against the diff_id, whatever the way."""
import gzip
from collections.abc import Callable

import pytest

from occystrap_core import InvalidImage, Layer
from occystrap_core.files import DigestMismatch
from occystrap_core.oci import Descriptor, Digest, media_types
from occystrap_core.tar import ReadObservers, StoredLayer, TarLayer
from tests.unit.core.image.sources import Source

TAR = b'tar ' * 700_000
GZIP = f'{media_types.OCI_LAYER}+gzip'


def stored(blob: bytes, tar: bytes, media_type: str = GZIP, served: bytes | None = None) -> StoredLayer:
    """Return a layer whose source serves `served`, by default the blob."""
    return StoredLayer(0, Descriptor(media_type, Digest.of(blob), len(blob)), Digest.of(tar),
                       lambda: Source(blob if served is None else served))


def tar_of(layer: Layer) -> bytes:
    with layer.tar() as stream:
        return b''.join(bytes(chunk) for chunk in stream.chunks())


@pytest.mark.parametrize('level', [0, 9])  # 0: large enough to be read ahead
def test_a_blob_opens_both_ways_and_again(level: int) -> None:
    blob = gzip.compress(TAR, level)
    layer = stored(blob, TAR)
    for _ in range(2):
        assert tar_of(layer) == TAR
        with layer.stored() as stream:
            assert stream.drain() == Digest.of(blob)


@pytest.mark.parametrize('level', [0, 9])
@pytest.mark.parametrize('damage', [lambda blob: blob + b'\0', lambda blob: blob[:-1], lambda blob: b'',
                                    lambda blob: gzip.compress(b'another')])
def test_a_blob_that_is_not_its_descriptor_is_refused_both_ways(level: int, damage: Callable[[bytes], bytes]) -> None:
    blob = gzip.compress(TAR, level)
    layer = stored(blob, TAR, served=damage(blob))
    with pytest.raises(InvalidImage):
        tar_of(layer)
    with pytest.raises(DigestMismatch, match=f'layer {Digest.of(blob)}'), layer.stored() as stream:
        stream.drain()


def test_zeros_behind_the_gzip_data_are_checked_too() -> None:
    blob = gzip.compress(b'tar') + bytes(100)
    assert tar_of(stored(blob, b'tar')) == b'tar'
    with pytest.raises(DigestMismatch, match='more than the expected'):
        tar_of(stored(blob, b'tar', served=blob + bytes(3 << 20)))


@pytest.mark.parametrize('level', [0, 9])
def test_a_tar_that_is_not_the_diff_id_is_refused(level: int) -> None:
    with pytest.raises(DigestMismatch, match='the tar of layer sha256.*expected'):
        tar_of(stored(gzip.compress(TAR, level), b'another tar'))


def test_media_types_that_are_no_layers_or_lie() -> None:
    with pytest.raises(InvalidImage, match='application/x-thing'):
        stored(b'', b'', 'application/x-thing')
    lying = stored(TAR, TAR)
    assert not lying.note and tar_of(lying) == TAR and 'is not compressed' in lying.note
    assert tar_of(stored(TAR, TAR, media_types.OCI_LAYER)) == TAR
    assert stored(TAR, TAR, media_types.OCI_LAYER).tar_size() == len(TAR)


@pytest.mark.parametrize('served', [TAR, gzip.compress(TAR)])
def test_a_tar_is_read_compressed_or_not(served: bytes) -> None:
    assert tar_of(TarLayer(0, Digest.of(TAR), lambda: Source(served), name='a.tar')) == TAR
    with pytest.raises(DigestMismatch, match='layer a.tar has digest'):
        tar_of(TarLayer(0, Digest.of(b'x'), lambda: Source(served), name='a.tar'))
    with pytest.raises(InvalidImage, match='held as a tar'):
        TarLayer(0, Digest.of(TAR), lambda: Source(served)).stored()


def test_a_tar_of_unknown_digest_knows_it_when_it_was_read() -> None:
    layer = TarLayer(-1, None, lambda: Source(TAR), name='passing')
    with layer.tar() as stream:
        next(iter(stream.chunks()))
        assert layer.diff_id is None
    assert tar_of(layer) == TAR and layer.diff_id == Digest.of(TAR)


@pytest.mark.parametrize('opening', ['stored', 'tar', 'tar_ahead', 'content'])
def test_observers_are_for_one_opening(opening: str) -> None:
    blob = gzip.compress(TAR, 0)
    layer, moved, kept = stored(blob, TAR), list[int](), list[bytes]()
    observers = ReadObservers(moved.append, lambda piece: kept.append(bytes(piece)))
    for given in (observers, ReadObservers()):
        with getattr(layer, opening)(given) as stream:
            for _ in stream.chunks():
                pass
    assert sum(moved) == len(blob) and b''.join(kept) == blob


def test_observers_of_a_tar_hear_of_the_tar() -> None:
    moved: list[int] = []
    with TarLayer(0, Digest.of(TAR), lambda: Source(TAR)).tar(ReadObservers(moved.append)) as stream:
        stream.drain()
    assert sum(moved) == len(TAR)


def test_sources_are_opened_when_read_and_closed() -> None:
    opened: list[Source] = []

    def opener() -> Source:
        opened.append(Source(gzip.compress(TAR, 0)))
        return opened[-1]
    blob = gzip.compress(TAR, 0)
    layer = StoredLayer(0, Descriptor(GZIP, Digest.of(blob), len(blob)), Digest.of(TAR), opener)
    layer.tar().close()
    assert opened == []
    with layer.stored():
        pass
    assert [each.closed_times for each in opened] == [1]
