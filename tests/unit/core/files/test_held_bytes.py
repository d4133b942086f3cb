"""The beginning of a blob, left by an earlier run: what of it is read, what written, what the source is asked for."""
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.errors import DigestMismatch
from occystrap_core.files.held_bytes import HeldBytes
from occystrap_core.image.layer import ReadObservers, StoredLayer
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest

BLOB = bytes(range(256)) * 4096
SIZE = len(BLOB)
DESCRIPTOR = Descriptor(media_types.OCI_LAYER, Digest.of(BLOB), SIZE)


def held(path: Path, content: bytes) -> HeldBytes:
    """A file with this content, as an earlier run left it."""
    path.write_bytes(content)
    return HeldBytes(os.open(path, os.O_RDWR), sync=False)


def read(file: HeldBytes, rest: Callable[[int], io.BytesIO] | None) -> None:
    """Read the blob, as a writer does."""
    layer = StoredLayer(0, DESCRIPTOR, DESCRIPTOR.digest, lambda: io.BytesIO(BLOB), rest=rest)
    file.begin()
    with layer.stored(ReadObservers(held=file)) as stream:
        stream.tee(file.write)
        stream.drain()


@pytest.mark.parametrize(('content', 'offsets'), [
    (b'', []), (BLOB[:1], [1]), (BLOB[:SIZE - 1], [SIZE - 1]), (BLOB, []), (BLOB + b'more', [])])
def test_the_source_is_asked_for_what_is_not_held(content: bytes, offsets: list[int], tmp_path: Path) -> None:
    requests, file = list[int](), held(tmp_path / 'kept', content)

    def rest(offset: int) -> io.BytesIO:
        requests.append(offset)
        return io.BytesIO(BLOB[offset:])
    read(file, rest)
    assert requests == offsets and file.reused == (len(content) if len(content) <= SIZE else 0)
    assert (tmp_path / 'kept').read_bytes() == BLOB


@pytest.mark.parametrize(('content', 'reused'), [(BLOB[:1000], 0), (b'x' * 1000, 0), (BLOB, SIZE)])
def test_of_a_source_without_a_rest_all_is_read(content: bytes, reused: int, tmp_path: Path) -> None:
    file = held(tmp_path / 'kept', content)
    read(file, None)
    assert file.reused == reused and (tmp_path / 'kept').read_bytes() == BLOB


@pytest.mark.parametrize('content', [b'x' * 1000, BLOB[:-1] + b'x'])
def test_damaged_kept_bytes_are_refused_and_dropped(content: bytes, tmp_path: Path) -> None:
    file = held(tmp_path / 'kept', content)

    def rest(offset: int) -> io.BytesIO:
        return io.BytesIO(BLOB[offset:])
    with pytest.raises(DigestMismatch):
        read(file, rest)
    file.forget()
    read(file, rest)
    assert file.reused == 0 and (tmp_path / 'kept').read_bytes() == BLOB
