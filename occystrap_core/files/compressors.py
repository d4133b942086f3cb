"""Compressing layers while they are read, on several threads whose number does not change the bytes."""
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from typing import BinaryIO, Self, cast

from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.files.compression import size_member
from occystrap_core.files.stream import CHUNK, ChunkedSource, Readable

_BLOCK = 1 << 20
_Member = Callable[[memoryview], bytes | bytearray]
"""Makes one member of a gzip file (RFC 1952, 2.2)."""


class Compressed(ChunkedSource):
    """The compressed form of a tar, made as it is read.

    The bytes never depend on `threads`: gzip consists of whole members of one MiB each, and an empty one that tells the
    size of all, if they are several; zstd always runs in its multi-threaded mode. A tar of one block is compressed
    without threads, whose start would cost more.
    """

    def __init__(self, tar: Readable, name: str, threads: int) -> None:
        """`name` is a key of COMPRESSIONS."""
        super().__init__()
        self._tar, self._name, self._threads = tar, name, max(1, threads)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the compressed bytes; raises as the tar does."""
        if self._name == 'zstd':
            return _zstd(self._tar, self._threads)
        return _gzip(self._tar, _gzip_member() if self._name == 'gzip' else _fast_member(), self._threads)

    def close(self) -> None:
        """Close the tar."""
        self._tar.close()


def compress(tar: Readable, target: BinaryIO, name: str, threads: int) -> None:
    """Write the bytes of `tar` to `target`, compressed as `Compressed` does it."""
    for piece in Compressed(tar, name, threads).chunks():
        target.write(piece)


def _gzip(tar: Readable, member: _Member, threads: int) -> Generator[memoryview, None, None]:
    buffer = memoryview(bytearray(_BLOCK))
    filled = _fill(tar, buffer)
    if filled < _BLOCK:
        yield memoryview(member(buffer[:filled]))
        return
    size = 0
    with _Threads(threads, member) as at_work:
        while filled:
            size += filled
            yield from at_work.add(buffer[:filled])
            buffer = at_work.buffer()
            filled = _fill(tar, buffer) if filled == _BLOCK else 0
        yield from at_work.rest()
    yield memoryview(size_member(size))


def _gzip_member() -> _Member:
    import deflate
    return partial(deflate.gzip_compress, compresslevel=2)


def _fast_member() -> _Member:
    from isal import igzip
    return lambda data: igzip.compress(data, 2, mtime=0)


class _Threads:
    """Compresses blocks, a few at once, and gives the members in order; buffers are used again and again."""

    def __init__(self, count: int, member: _Member) -> None:
        self._threads, self._member = DaemonThreads(count, 'compress'), member
        self._at_work: deque[tuple[Future[bytes | bytearray], memoryview]] = deque()
        self._most = count + 1
        self._free: list[memoryview] = []

    def buffer(self) -> memoryview:
        """Return a buffer of one block that no thread reads."""
        return self._free.pop() if self._free else memoryview(bytearray(_BLOCK))

    def add(self, block: memoryview) -> Iterator[memoryview]:
        """Have a block compressed; yield an earlier member if there are enough at work."""
        self._at_work.append((self._threads.submit(partial(self._member, block)), block))
        if len(self._at_work) > self._most:
            yield self._next()

    def rest(self) -> Iterator[memoryview]:
        """Yield the members of all blocks at work."""
        while self._at_work:
            yield self._next()

    def _next(self) -> memoryview:
        future, block = self._at_work.popleft()
        member = memoryview(future.result())
        self._free.append(memoryview(block.obj))
        return member

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
