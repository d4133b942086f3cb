"""What a store of blobs gets from core if it reads documents as bytes alone."""
import io
from collections.abc import Callable

import pytest

from occystrap_core import BlobStore, ImageNotFound, InvalidImage
from occystrap_core.errors import PluginError
from occystrap_core.files import DigestMismatch, Readable, SizeMismatch
from occystrap_core.oci import Descriptor, Digest
from occystrap_core.testing.sample import sample_image

MANIFEST = sample_image().manifest
assert MANIFEST


class Kept(BlobStore):
    """Blobs by digest, which may be damaged."""

    place = 'the shelf'

    def __init__(self, *raw: bytes) -> None:
        self.blobs = {Digest.of(each): each for each in raw}

    def blob(self, descriptor: Descriptor) -> Readable:
        return io.BytesIO(self.blobs[descriptor.digest])

    def small_blob(self, digest: Digest, what: str) -> bytes:
        if digest not in self.blobs:
            raise ImageNotFound(f'{what} {digest} is not on the shelf')
        return self.blobs[digest]


def test_documents_are_read_and_checked() -> None:
    assert MANIFEST
    store, entry = Kept(MANIFEST.raw), MANIFEST.descriptor
    assert store.manifest(entry).raw == MANIFEST.raw and store.document(entry, 'the manifest') == MANIFEST.raw
    untyped = Descriptor('', entry.digest, entry.size)
    assert store.manifest(untyped) == store.manifest(entry)


@pytest.mark.parametrize(('read', 'words', 'rule'), [
    (lambda store, entry: store.manifest(entry), 'the shelf: manifest has digest', 'manifest-digest'),
    (lambda store, entry: store.document(entry, 'the config'), 'the shelf: the config has digest', None)])
def test_damaged_documents_are_refused(read: Callable[[Kept, Descriptor], object], words: str,
                                       rule: str | None) -> None:
    assert MANIFEST
    store, entry = Kept(MANIFEST.raw), MANIFEST.descriptor
    store.blobs[entry.digest] = MANIFEST.raw + b' '
    found = Digest.of(MANIFEST.raw + b' ')
    with pytest.raises(DigestMismatch, match=f'{words} {found}, expected {entry.digest}') as caught:
        read(store, entry)
    assert rule in (None, caught.value.rule)


def test_other_sizes_and_what_is_not_a_manifest_are_refused() -> None:
    store = Kept(b'{}', b'no')
    with pytest.raises(SizeMismatch, match=f'the shelf: the config, blob {Digest.of(b"{}")}, has 2 bytes, expected 3'):
        store.document(Descriptor('', Digest.of(b'{}'), 3), 'the config')
    with pytest.raises(InvalidImage, match=f'the shelf: manifest {Digest.of(b"no")}: the manifest is not valid JSON'):
        store.manifest(Descriptor('', Digest.of(b'no'), 2))
    with pytest.raises(ImageNotFound, match='manifest .* is not on the shelf'):
        store.manifest(Descriptor('', Digest.of(b'missing'), 7))


def test_a_store_without_documents_is_named() -> None:
    class Bare(Kept):
        small_blob = BlobStore.small_blob
    with pytest.raises(PluginError, match=r'Bare has neither small_blob\(\) nor manifest\(\) and document\(\)'):
        Bare().manifest(Descriptor('', Digest.of(b''), 0))
