"""Zeros behind the gzip data of a blob are found whatever members it has, and other ends are not taken for them."""
import gzip
import io
import os

import pytest

from occystrap_core.checks.gzip_end import GzipEnd
from occystrap_core.files.compression import size_member
from occystrap_core.files.stream import ByteStream

NOISE = os.urandom(3000)
ONE, EMPTY, LONG = gzip.compress(NOISE), gzip.compress(b''), gzip.compress(bytes(5 << 20))


@pytest.mark.parametrize(('blob', 'size'), [
    (ONE, 3000), (EMPTY, 0), (ONE + ONE, 6000), (ONE + EMPTY, 3000), (LONG, 5 << 20), (LONG + ONE, (5 << 20) + 3000),
    (ONE + size_member(3000), 3000)], ids=lambda value: '')
def test_zeros_behind_the_data_are_found(blob: bytes, size: int) -> None:
    for zeros in (0, 1, 4, 9, 512):
        end, whole = GzipEnd(), blob + bytes(zeros)
        for start in range(0, len(whole), 100):
            end.add(memoryview(whole)[start:start + 100])
        assert end.is_padded(size, lambda: ByteStream(io.BytesIO(whole))) == bool(zeros), zeros
