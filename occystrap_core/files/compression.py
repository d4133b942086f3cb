"""Decompressing layers. The format is detected by magic bytes; memory is bounded for any input."""
import os
import re
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from occystrap_core.errors import InvalidImage, SizeMismatch
from occystrap_core.files.stream import CHUNK, ByteStream, Readable
from occystrap_core.oci.digest import SHA256
from occystrap_core.oci.media_types import Compression

COMPRESSIONS = {'gzip': Compression.GZIP, 'gzip-fast': Compression.GZIP, 'zstd': Compression.ZSTD}
"""The choices of a user, and their formats. gzip: libdeflate level 2, the same bytes on every machine. gzip-fast: isal
level 2, twice as fast and a twelfth larger, the same bytes on x86-64 only. zstd: level 3."""

MAGIC_SIZE = 10
"""Bytes at the beginning of a file that tell its compression."""
_MAGIC = re.compile(rb'(?P<GZIP>\x1f\x8b)|(?P<ZSTD>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)|(?P<XZ>\xfd7zXZ\0)|'
                    rb'(?P<BZIP2>BZh[1-9](?:\x31\x41\x59\x26\x53\x59|\x17\x72\x45\x38\x50\x90))', re.DOTALL)
"""For bzip2 with the magic of its first block, since the first name in a tar may begin with BZh."""
GZIP_END = 34
"""Bytes at the end of a gzip file that tell the size of its content.

The last four are the size of the last member modulo 2^32 (RFC 1952, 2.3.1): of no use where there are several members.
Ours are of one MiB each; an empty one behind them has an extra field (2.3.1.1) with the size of all, which other
programs skip.
"""
_SIZE_HEAD = bytes.fromhex('1f8b08' '04' '00000000' '00ff' '0c00') + b'OT' + bytes.fromhex('0800')
"""The header of a member with an extra field of twelve bytes: subfield OT, with eight bytes of data."""
_SIZE_END = bytes.fromhex('0300' '00000000' '00000000')
"""An empty last block (RFC 1951, 3.2.3), its CRC and its size."""
_WINDOW_CAP = 1 << 27
_INFLATED_CAP = 1 << 40


def detect_compression(head: bytes) -> Compression:
    """Return the compression of a file by its first MAGIC_SIZE bytes (RFC 1952 2.3.1, RFC 8878 3.1.1 and 3.1.2)."""
    found = _MAGIC.match(head)
    return Compression[found.lastgroup] if found and found.lastgroup else Compression.NONE


def size_member(size: int) -> bytes:
    """Return an empty member that tells the size in bytes of all content before it."""
    return _SIZE_HEAD + size.to_bytes(8, 'little') + _SIZE_END


def inflated_size(end: bytes, size: int) -> int | None:
    """Return a hint of the inflated size in bytes of a gzip blob of `size` bytes, from its last GZIP_END bytes, `end`.

    Of a smaller blob `end` is all of it. None if deflate cannot have produced this ratio: it shrinks zeros to a
    thousandth, and makes noise slightly larger.
    """
    if len(end) < 4:
        return None
    told = end[-GZIP_END:]
    is_ours = len(told) == GZIP_END and told.startswith(_SIZE_HEAD) and told.endswith(_SIZE_END)
    inflated = int.from_bytes(told[len(_SIZE_HEAD):-len(_SIZE_END)] if is_ours else end[-4:], 'little')
    return inflated if size - size // 512 - 1024 <= inflated <= size * 1040 else None


class Peeked:
    """A source whose first bytes can be read in advance."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._head = b''

    def peek(self, count: int = MAGIC_SIZE) -> bytes:
        """Return the first `count` bytes, fewer if the source is shorter."""
        while len(self._head) < count:
            buffer = bytearray(count - len(self._head))
            got = self._source.readinto(memoryview(buffer))
            if not got:
                break
            self._head += buffer[:got]
        return self._head[:count]

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`, first with the bytes that were peeked at."""
        if not self._head:
            return self._source.readinto(buffer) or 0
        count = min(len(buffer), len(self._head))
        buffer[:count] = self._head[:count]
        self._head = self._head[count:]
        return count

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class Inflated:
    """The uncompressed bytes of a compressed source; errors of the library become InvalidImage."""

    def __init__(self, source: Readable, compression: Compression, what: str) -> None:
        self._source, self._what = source, what
        self._reader, self._errors = _READERS[compression](source)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with uncompressed bytes; return how many, 0 at the end."""
        try:
            return self._reader.readinto(buffer) or 0
        except self._errors as error:
            raise InvalidImage(f'{self._what} cannot be decompressed: {error}', 'layer-compression') from None

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def inflate(source: Readable, what: str, found: Callable[[Compression], object] = lambda _: None) -> Readable:
    """Return `source` uncompressed. `found` is called with the compression; `what` names the source in errors."""
    peeked = Peeked(source)
    compression = detect_compression(peeked.peek())
    found(compression)
    return peeked if compression is Compression.NONE else Inflated(peeked, compression, what)


def inflated_stream(source: Readable, what: str, size: int | None = None, algorithm: str = SHA256) -> ByteStream:
    """Return the uncompressed bytes of a source, to be read to their end and hashed.

    Reading raises InvalidImage if they are not the `size` bytes that they should be; if that is unknown, if they are
    more than a tebibyte.
    """
    stream = ByteStream(inflate(source, what), size=size, what=what, algorithm=algorithm)

    def check(count: int) -> None:
        if stream.size > _INFLATED_CAP:
            raise SizeMismatch(f'{what} inflates to more than the {_INFLATED_CAP} bytes allowed')
    stream.observe(check)
    return stream


def inflate_cut(source: Readable, compression: Compression) -> Readable:
    """Return the uncompressed beginning of a truncated blob: as much as can be decompressed."""
    if compression is Compression.NONE:
        return source
    if compression is not Compression.ZSTD:
        return Inflated(source, compression, 'the beginning of a blob')
    import zstandard
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_CAP)
    return cast(Readable, decompressor.stream_reader(cast(BinaryIO, _Reading(source)), read_size=CHUNK,
                                                     read_across_frames=True))


def _gzip_reader(source: Readable) -> tuple[Readable, tuple[type[Exception], ...]]:
    from isal import igzip, isal_zlib
    opener: Any = igzip.open
    return (cast(Readable, opener(_Reading(source))),
            (cast(type[Exception], isal_zlib.error), igzip.BadGzipFile, EOFError))


def _zstd_reader(source: Readable) -> tuple[Readable, tuple[type[Exception], ...]]:
    import zstandard
    return _WholeFrames(source), (zstandard.ZstdError, EOFError)


def _xz_reader(source: Readable) -> tuple[Readable, tuple[type[Exception], ...]]:
    from occystrap_core.files.xz_and_bzip2 import DamagedStream, xz_reader
    return xz_reader(source), (DamagedStream, EOFError)


def _bzip2_reader(source: Readable) -> tuple[Readable, tuple[type[Exception], ...]]:
    from occystrap_core.files.xz_and_bzip2 import DamagedStream, bzip2_reader
    return bzip2_reader(source), (DamagedStream, EOFError)


_READERS: dict[Compression, Callable[[Readable], tuple[Readable, tuple[type[Exception], ...]]]] = {
    Compression.GZIP: _gzip_reader, Compression.ZSTD: _zstd_reader, Compression.XZ: _xz_reader,
    Compression.BZIP2: _bzip2_reader}


class _WholeFrames:
    """zstandard's reader takes the end of its source for the end of a frame; this one raises EOFError for a truncated
    frame.

    A last frame that holds a mark is appended. The mark comes out at the end only if everything before it was complete.
    """

    def __init__(self, source: Readable) -> None:
        import zstandard
        self._mark = os.urandom(8) * 16  # repeated: its frame must not contain it literally, for a cut block
        self._held = b''
        reading = _Reading(source, zstandard.ZstdCompressor().compress(self._mark))
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_CAP)
        self._reader = decompressor.stream_reader(cast(BinaryIO, reading), read_size=CHUNK, read_across_frames=True,
                                                  closefd=False)

    def readinto(self, buffer: memoryview, /) -> int:
        if len(buffer) <= len(self._mark):
            return self._read_little(buffer)
        filled = len(self._held)
        buffer[:filled] = self._held
        while filled <= len(self._mark):
            count = self._reader.readinto(buffer[filled:])
            if not count:
                return self._end(bytes(buffer[:filled]))
            filled += count
        end = filled - len(self._mark)
        self._held = bytes(buffer[end:filled])
        return end

    def _read_little(self, buffer: memoryview) -> int:
        room = memoryview(bytearray(len(buffer) + len(self._mark)))
        count = self.readinto(room)
        buffer[:count] = room[:count]
        return count

    def _end(self, last: bytes) -> int:
        if last != self._mark:
            raise EOFError('it is cut off')
        return 0

    def close(self) -> None:
        pass


class _Reading:
    """A source with the `read` method that zstandard calls, and that isal requires before it calls `readinto`."""

    def __init__(self, source: Readable, tail: bytes = b'') -> None:
        """`tail` is returned by `read` after the source's end, in pieces: zstd would take all of it at once for a new
        frame."""
        self._source, self._tail = source, tail
        self.readinto = source.readinto

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        count = self._source.readinto(memoryview(buffer)) or 0
        if count:
            return bytes(memoryview(buffer)[:count])
        piece, self._tail = self._tail[:8], self._tail[8:]
        return piece
