"""Compressing layers while they are read, on several threads whose number does not change the bytes."""
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple, Self, cast

from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.files.stream import CHUNK, ChunkedSource, Readable

_GZIPS = {'gzip': ('zlib_ng.zlib_ng', 'zlib_ng.gzip_ng', 4), 'gzip-fast': ('isal.isal_zlib', 'isal.igzip', 2)}
_BLOCK = 1 << 20
_WINDOW = 32 << 10
_HEAD = bytes.fromhex('1f8b08000000000000ff')
"""Of a gzip file without name or time (RFC 1952, 2.3)."""
_RAW, _SYNC_FLUSH, _DEFLATED = -15, 2, 8
_LAST_BLOCK = b'\3\0'
"""An empty last block (RFC 1951, 3.2.3)."""


class Compressed(ChunkedSource):
    """The compressed form of a tar, made as it is read.

    The bytes never depend on `threads`: gzip consists of independent blocks of one MiB, each with the 32 KiB before it
    as its dictionary, joined by sync flushes; zstd always runs in its multi-threaded mode. A tar of one block is
    compressed without threads, whose start would cost more.
    """

    def __init__(self, tar: Readable, name: str, threads: int) -> None:
        """`name` is a key of COMPRESSIONS."""
        super().__init__()
        self._tar, self._name, self._threads = tar, name, max(1, threads)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the compressed bytes; raises as the tar does."""
        return _zstd(self._tar, self._threads) if self._name == 'zstd' else _gzip(self._tar, self._name, self._threads)

    def close(self) -> None:
        """Close the tar."""
        self._tar.close()


def compress(tar: Readable, target: BinaryIO, name: str, threads: int) -> None:
    """Write the bytes of `tar` to `target`, compressed as `Compressed` does it."""
    for piece in Compressed(tar, name, threads).chunks():
        target.write(piece)


class _Block(NamedTuple):
    """A block of a tar in a buffer, and the bytes before it."""

    data: memoryview
    before: bytes


def _gzip(tar: Readable, name: str, threads: int) -> Generator[memoryview, None, None]:
    library_name, gzip_name, level = _GZIPS[name]
    buffer = memoryview(bytearray(_BLOCK))
    filled = _fill(tar, buffer)
    if filled < _BLOCK:
        whole: Any = import_module(gzip_name)
        yield memoryview(whole.compress(buffer[:filled], level, mtime=0))
        return
    library: Any = import_module(library_name)
    checksum, size = 0, 0
    yield memoryview(_HEAD)
    with _Threads(threads) as at_work:
        before = b''
        while filled:
            data = buffer[:filled]
            checksum, size = library.crc32(data, checksum), size + filled
            yield from at_work.add(_Block(data, before), partial(_deflated, library, level))
            before = bytes(data[-_WINDOW:])
            buffer = at_work.buffer()
            filled = _fill(tar, buffer) if filled == _BLOCK else 0
        yield from at_work.rest()
    yield memoryview(_LAST_BLOCK + checksum.to_bytes(4, 'little') + (size % (1 << 32)).to_bytes(4, 'little'))


def _deflated(library: Any, level: int, block: _Block) -> bytes:
    compressor = library.compressobj(level, _DEFLATED, _RAW, **({'zdict': block.before} if block.before else {}))
    return cast(bytes, compressor.compress(block.data) + compressor.flush(_SYNC_FLUSH))


class _Threads:
    """Compresses blocks, a few at once, and gives the results in order; buffers are used again and again."""

    def __init__(self, count: int) -> None:
        self._threads = DaemonThreads(count, 'compress')
        self._at_work: deque[tuple[Future[bytes], _Block]] = deque()
        self._most = count + 1
        self._free: list[memoryview] = []

    def buffer(self) -> memoryview:
        """Return a buffer of one block that no thread reads."""
        return self._free.pop() if self._free else memoryview(bytearray(_BLOCK))

    def add(self, block: _Block, compress_block: Callable[[_Block], bytes]) -> Iterator[memoryview]:
        """Have a block compressed; yield the result of an earlier one if there are enough at work."""
        self._at_work.append((self._threads.submit(partial(compress_block, block)), block))
        if len(self._at_work) > self._most:
            yield self._next()

    def rest(self) -> Iterator[memoryview]:
        """Yield the results of all blocks at work."""
        while self._at_work:
            yield self._next()

    def _next(self) -> memoryview:
        future, block = self._at_work.popleft()
        result = memoryview(future.result())
        self._free.append(memoryview(block.data.obj))
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.close()


def _zstd(tar: Readable, threads: int) -> Iterator[memoryview]:
    import zstandard
    compressor = zstandard.ZstdCompressor(level=3, threads=threads, write_checksum=True)
    source = cast(BinaryIO, _Reading(tar))
    return (memoryview(piece) for piece in compressor.read_to_iter(source, read_size=_BLOCK, write_size=CHUNK))


class _Reading:
    """A source with the `read` method that zstandard calls."""

    def __init__(self, source: Readable) -> None:
        self._source, self._buffer = source, memoryview(bytearray(_BLOCK))

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end."""
        return bytes(self._buffer[:_fill(self._source, self._buffer[:size])])


def _fill(tar: Readable, buffer: memoryview) -> int:
    """Fill `buffer`; it is left partly empty only at the end of the tar."""
    filled = 0
    while filled < len(buffer) and (count := tar.readinto(buffer[filled:])):
        filled += count
    return filled
