"""A stream is freed with its source when nobody uses it, without the garbage collector: files have large buffers."""
import gc
import io
import weakref

import pytest

from occystrap_core.files import ByteStream
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
