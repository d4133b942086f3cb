"""Artifacts: their blobs are checked as they are, and never taken for tars."""
import pytest

from occystrap_core import InvalidImage
from occystrap_core.files import DigestMismatch
from occystrap_core.image.artifact import Artifact
from occystrap_core.oci import Descriptor, Digest, Manifest, Reference
from occystrap_core.tar import ReadObservers
from tests.unit.core.image.sources import Source

CONTENT = b'{"signed": true}'


def artifact(served: bytes = CONTENT) -> Artifact:
    blob = Descriptor('application/vnd.example+json', Digest.of(CONTENT), len(CONTENT))
    manifest = Manifest.build(Descriptor('application/vnd.oci.empty.v1+json', Digest.of(b'{}'), 2), [blob, blob])
    return Artifact(Reference.parse('some:thing'), b'{}', manifest, lambda descriptor: Source(served))


def test_blobs_are_what_their_descriptors_say() -> None:
    opened = artifact()
    assert [layer.stored().drain() for layer in opened.layers] == [Digest.of(CONTENT)] * 2
    assert opened.config.raw == b'{}'


@pytest.mark.parametrize('served', [b'', CONTENT[:-1], CONTENT + b' ', CONTENT.replace(b'true', b'TRUE')])
def test_other_bytes_are_refused(served: bytes) -> None:
    with pytest.raises(DigestMismatch, match=f'blob {Digest.of(CONTENT)}'):
        artifact(served).layers[0].stored().drain()


def test_progress_hears_of_what_is_read() -> None:
    layer, heard = artifact().layers[0], list[int]()
    layer.stored(ReadObservers(moved=heard.append)).drain()
    assert sum(heard) == len(CONTENT)


def test_a_blob_is_no_tar() -> None:
    with pytest.raises(InvalidImage, match='application/vnd.example.json, not a layer of an image'):
        artifact().layers[0].tar()
