"""Compression both ways: nothing but whole streams is read, and what is written never depends on threads."""
import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from occystrap_core import InvalidImage
from occystrap_core.files import GZIP_END, ByteStream, inflate, inflated_size
from occystrap_core.files.compression import COMPRESSIONS
from occystrap_core.files.compressors import compress
from occystrap_core.oci import Compression, Digest
from tests.unit.core.image.sources import Source

TEXT = random.Random(1).randbytes(300_000) + b'a layer\n' * 200_000  # some of it cannot be compressed
MIB = 1 << 20
GOLDEN = 'sha256:8ec63b9ce4b1c396f9217c10f70cd61a04c078a0a8887cef4940f91112af303c'
"""Of x86-64 with and without AVX, and of aarch64."""


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zstandarded(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=False).compress(data)


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def inflated(data: bytes, found: Callable[[Compression], object] = lambda _: None, step: int = 1 << 30) -> bytes:
    stream = ByteStream(inflate(Source(data, step), 'layer 3', found))
    return b''.join(bytes(chunk) for chunk in stream.chunks())


PACKS = [gzipped, zstandarded, xz, bz2.compress]


@pytest.mark.parametrize('data', [b'', TEXT, bytes(30 * MIB), random.Random(2).randbytes(MIB)])
@pytest.mark.parametrize('level', [0, 1, 9])
def test_the_end_of_a_gzip_blob_has_the_size_of_its_content(data: bytes, level: int) -> None:
    blob = gzip.compress(data, level)
    assert inflated_size(blob[-4:], len(blob)) == len(data)


@pytest.mark.parametrize('name', ['gzip', 'gzip-fast'])
@pytest.mark.parametrize('size', [0, MIB - 1, MIB, MIB + 1, 40 * MIB])
def test_the_end_of_what_we_compress_has_the_size_of_all_members(size: int, name: str) -> None:
    data = (TEXT * 25)[:size]
    blob = compressed(data, name, 2)
    assert inflated_size(blob[-GZIP_END:], len(blob)) == len(data) and gzip.decompress(blob) == data
    assert inflated_size(blob[-4:], len(blob)) == (size if size < MIB else None)


def test_an_impossible_size_at_the_end_is_ignored() -> None:
    ours = compressed(TEXT * 2, 'gzip')
    assert inflated_size(ours[-GZIP_END:], 100 * MIB) is None and inflated_size(ours[-GZIP_END:], 1000) is None
    two = gzipped(random.Random(3).randbytes(MIB)) + gzipped(b'tail')
    assert inflated_size(two[-4:], len(two)) is None
    assert inflated_size(b'\xff' * 4, 10_000) is None
    assert inflated_size(b'', 10_000) is None


@pytest.mark.parametrize('pack', PACKS)
def test_several_members_are_one_tar(pack: Callable[[bytes], bytes]) -> None:
    assert inflated(pack(TEXT)) == TEXT
    assert inflated(pack(TEXT) + pack(b'') + pack(b'tail')) == TEXT + b'tail'
    assert inflated(pack(TEXT[:5000]), step=1) == TEXT[:5000]


@pytest.mark.parametrize('pack', PACKS)
def test_truncated_data_and_trailing_garbage_are_refused(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(TEXT[299_000:320_000])
    for end in [10, 14, 20, *range(30, len(packed), 17), *range(len(packed) - 12, len(packed))]:
        with pytest.raises(InvalidImage, match='layer 3 cannot be decompressed'):
            inflated(packed[:end])
    with pytest.raises(InvalidImage, match='layer 3 cannot be decompressed'):
        inflated(packed + b'garbage')


def test_a_flipped_bit_in_gzip_is_found() -> None:
    packed = bytearray(gzipped(b'hello world' * 100))
    packed[-6] ^= 1
    with pytest.raises(InvalidImage):
        inflated(bytes(packed))


@pytest.mark.parametrize('pack', [xz, bz2.compress])
def test_a_bomb_of_xz_or_bzip2_is_read_in_pieces(pack: Callable[[bytes], bytes]) -> None:
    source = inflate(Source(pack(bytes(30 * MIB)), 1 << 30), 'layer 3')
    buffer = memoryview(bytearray(1 << 15))
    tracemalloc.start()
    try:
        assert sum(iter(lambda: source.readinto(buffer) or 0, 0)) == 30 * MIB
        assert tracemalloc.get_traced_memory()[1] < 12 * MIB
    finally:
        tracemalloc.stop()


def with_dictionary(exponent: int, xz: bytes) -> bytes:
    """Return xz whose first block claims a dictionary of 2 to that power: to compress with one takes seconds."""
    header = bytearray(xz[12:20])  # https://tukaani.org/xz/xz-file-format.txt, 3.1 and 5.3.1
    assert header[:4] == b'\x02\0\x21\1', 'two words, one filter: LZMA2, with one byte of properties'
    return xz[:12] + (head := bytes([*header[:4], 2 * (exponent - 12), *header[5:]])) + zlib.crc32(head).to_bytes(
        4, 'little') + xz[24:]


def test_a_dictionary_of_xz_beyond_all_measure_is_refused() -> None:
    assert inflated(with_dictionary(24, lzma.compress(b'tar'))) == b'tar'
    packed = with_dictionary(30, lzma.compress(b'tar'))
    with pytest.raises(InvalidImage, match='layer 3 cannot be decompressed: Memory usage limit'):
        inflated(packed)


def test_a_tar_whose_first_name_begins_as_bzip2_does_is_none() -> None:
    kinds: list[Compression] = []
    assert inflated(b'BZh9/file', kinds.append) == b'BZh9/file' and kinds == [Compression.NONE]


def test_gzip_padded_with_zeros_and_zstd_behind_a_skippable_frame_are_read() -> None:
    assert inflated(gzipped(TEXT) + bytes(512)) == TEXT
    assert inflated(b'\x50\x2a\x4d\x18\x04\0\0\0abcd' + zstandarded(TEXT)) == TEXT


@pytest.mark.parametrize('data', [b'', b'a', b'abc', TEXT])
def test_data_without_magic_bytes_are_a_tar(data: bytes) -> None:
    found: list[Compression] = []
    assert inflated(data) == inflated(data, found.append) == data
    assert found == [Compression.NONE]


def test_a_zstd_frame_with_a_huge_window_is_refused() -> None:
    header = b'\x28\xb5\x2f\xfd' + bytes([0x00, (31 - 10) << 3])  # RFC 8878 3.1.1.1.2: a window of 2 GiB
    with pytest.raises(InvalidImage, match='cannot be decompressed'):
        inflated(header + b'\x01\x00\x00')


BOMB = '''
import gzip, io, resource, sys, zlib
import zstandard
from occystrap_core.files import ByteStream, inflate
size = 100 << 20
if sys.argv[1] == 'zstd':
    packer = zstandard.ZstdCompressor().compressobj()
else:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
packed = b''.join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream = ByteStream(inflate(io.BytesIO(packed), 'bomb'))
stream.drain()
assert stream.size == size
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
'''


@pytest.mark.parametrize('kind', ['gzip', 'zstd'])
def test_a_bomb_does_not_fill_the_memory(kind: str) -> None:
    done = subprocess.run([sys.executable, '-c', BOMB, kind], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30, 'MiB were taken for 100 MiB of zeros'


def compressed(data: bytes, name: str, threads: int = 1, step: int = 1 << 30) -> bytes:
    target = io.BytesIO()
    compress(ByteStream(Source(data, step)), target, name, threads)
    return target.getvalue()


@pytest.mark.parametrize('name', COMPRESSIONS)
@pytest.mark.parametrize('size', [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
def test_the_bytes_depend_on_the_tar_alone(name: str, size: int) -> None:
    data = (TEXT * 2)[:size]
    expected = compressed(data, name)
    assert {compressed(data, name, threads) for threads in (2, 3, 4)} == {expected}
    assert compressed(data, name, 2, step=70_001) == expected
    found: list[Compression] = []
    assert inflated(expected, found.append) == data and found == [COMPRESSIONS[name]]


def test_gzip_is_the_same_on_every_machine() -> None:
    text = b''.join(b'%d squared is %d\n' % (number, number * number) for number in range(100_000))
    assert Digest.of(compressed(text, 'gzip', 2)) == GOLDEN, 'digests of layers that are pushed anew change'


@pytest.mark.parametrize('name', COMPRESSIONS)
def test_the_tools_of_everybody_read_it(name: str, program: Callable[..., str]) -> None:
    packed = compressed(TEXT, name, 2)
    tool = program('zstd') if name == 'zstd' else program('gzip')
    assert subprocess.run([tool, '-dc'], input=packed, capture_output=True, check=True).stdout == TEXT
    subprocess.run([tool, '-t'], input=packed, check=True)


@pytest.mark.parametrize('name', COMPRESSIONS)
@pytest.mark.parametrize('threads', [1, 3])
def test_a_source_or_target_that_fails_does_not_hang(name: str, threads: int) -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, 'No space left on device')
    random_data = random.Random(2).randbytes(6 * MIB)
    with pytest.raises(OSError, match='No space left'):
        compress(ByteStream(Source(random_data)), Full(), name, threads)
    with pytest.raises(OSError, match='the cable'):
        compress(ByteStream(Source(random_data, MIB // 2, fails_after=3 * MIB)), io.BytesIO(), name, threads)
