"""A stream is freed with its source when nobody uses it, without the garbage collector: files have large buffers."""
import gc
import gzip
import io
import weakref
from collections.abc import Callable

import pytest

from occystrap_core.files import ByteStream
from occystrap_core.files.compression import inflated_stream
from occystrap_core.image.layer import TarLayer
from occystrap_core.oci import Digest


@pytest.mark.parametrize('ending', ['drained', 'closed', 'damaged'])
def test_nothing_waits_for_the_collector(ending: str) -> None:
    source = io.BytesIO(b'content')
    gc.disable()
    try:
        with ByteStream(source, digest=Digest.of(b'other' if ending == 'damaged' else b'content')) as stream:
            if ending == 'drained':
                assert stream.drain() == Digest.of(b'content')
        freed = weakref.ref(stream)
        del stream
        assert freed() is None
    finally:
        gc.enable()


@pytest.mark.parametrize('opened', [
    lambda: inflated_stream(io.BytesIO(gzip.compress(b'content')), 'a blob'),
    lambda: TarLayer(0, None, lambda: io.BytesIO(gzip.compress(b'content'))).tar(),
], ids=['inflated', 'tar'])
def test_nor_does_one_whose_observers_know_it(opened: Callable[[], ByteStream]) -> None:
    gc.disable()
    try:
        with opened() as stream:
            stream.drain()
        freed = weakref.ref(stream)
        del stream
        assert freed() is None
    finally:
        gc.enable()
