"""Byte streams that check themselves: reading one to its end checks digest and size."""
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from occystrap_core.errors import DigestMismatch, SizeMismatch
from occystrap_core.oci.digest import SHA256, Digest

CHUNK = 512 << 10
"""Bytes in one read: measured as the best compromise between the number of calls and the cache (see benchmarks/)."""


class Readable(Protocol):
    """The source of a stream: any object that fills a buffer, such as a raw file."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill `buffer`, perhaps in part; return the number of bytes, 0 only at the end."""

    def close(self) -> None:
        """Close files and connections; may be called twice."""


class ByteStream:
    """A `Readable` that counts and hashes its bytes, and at the end compares them with the expected digest and size.

    Read it once, by `readinto`, `chunks` or `drain`, and close it, best by a with statement.
    """

    def __init__(self, source: Readable, *, digest: Digest | None = None, size: int | None = None, what: str = 'data',
                 hashed: Callable[[], Digest] | None = None, rule: str = '',
                 algorithm: str = SHA256) -> None:
        """`digest` and `size` (bytes) are expected, None if unknown; `what` names the stream in errors.

        `hashed` returns the digest at the end if the source hashes its bytes itself. `rule` is the rule that a wrong
        digest breaks, for the error. `algorithm` is for the digest if none is expected.
        """
        self._source = source
        self._promised_digest, self._promised_size, self._what, self._rule = digest, size, what, rule
        self._hash = hashlib.new(digest.algorithm if digest else algorithm)
        self._update = (lambda data: None) if hashed else self._hash.update
        self._hashed = hashed or partial(Digest.of_hash, self._hash)  # a method of self would be a reference cycle
        self._observers: list[Callable[[int], None]] = []
        self._copies: list[Callable[[memoryview], object]] = []
        self.size = 0
        self.ended = False

    @property
    def digest(self) -> Digest:
        """The digest of all bytes; raises ValueError before the end."""
        if not self.ended:
            raise ValueError(f'{self._what} was not read to its end')
        return self._hashed()

    def hash_so_far(self) -> 'hashlib._Hash':
        """Return a copy of the hash of all bytes so far, which the caller may update."""
        return self._hash.copy()

    def observe(self, observer: Callable[[int], None]) -> None:
        """Call `observer` with the number of bytes of each read; an exception from it stops the stream."""
        self._observers.append(observer)

    def tee(self, write: Callable[[memoryview], object]) -> None:
        """Have `write` called with all bytes that are read from the stream; this call itself reads nothing.

        An exception from `write` stops the stream.
        """
        self._copies.append(write)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` and return the number of bytes, 0 at the end; raises DigestMismatch if digest or size is wrong.
        """
        if self.ended or not buffer:
            return 0
        count = self._source.readinto(buffer) or 0
        self._passed(memoryview(buffer)[:count])
        return count

    def chunks(self) -> Iterator[memoryview]:
        """Yield all bytes in large pieces, each valid until the next is requested; raises as `readinto` does."""
        if isinstance(self._source, ChunkedSource):
            for chunk in self._source.remaining():
                self._passed(chunk)
                yield chunk
            if not self.ended:
                self._passed(memoryview(b''))
            return
        buffer = memoryview(bytearray(CHUNK))
        while count := self.readinto(buffer):
            yield buffer[:count]

    def drain(self) -> Digest:
        """Read the rest, to check it, and return the digest; raises as `readinto` does."""
        for _ in self.chunks():
            pass
        return self.digest

    def close(self) -> None:
        """Close the source; closing before the end checks nothing."""
        self._source.close()
        self._observers.clear()  # some refer to this stream: frees it now, with its buffers
        self._copies.clear()

    def _passed(self, data: memoryview) -> None:
        self._update(data)
        self.size += len(data)
        if self._promised_size is not None and self.size > self._promised_size:
            raise SizeMismatch(f'{self._what} has more than the expected {self._promised_size} bytes',
                               self._rule and 'layer-size')
        for write in self._copies:
            write(data)
        if not data:
            self._check()
        for observer in self._observers:
            observer(len(data))

    def _check(self) -> None:
        """Set `ended` only if digest and size are right, so that a caller who drops the exception cannot take the
        stream for complete."""
        if self._promised_size not in (None, self.size):
            raise SizeMismatch(f'{self._what} has {self.size} bytes, expected {self._promised_size}',
                               self._rule and 'layer-size')
        if self._promised_digest is not None and (digest := self._hashed()) != self._promised_digest:
            raise DigestMismatch(f'{self._what} has digest {digest}, expected {self._promised_digest}', self._rule)
        self.ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


class ChunkedSource:
    """A source that produces its bytes in pieces: it yields them uncopied, or copies them into a buffer."""

    def __init__(self) -> None:
        self.__pieces: Iterator[memoryview] | None = None
        self.__rest = memoryview(b'')

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in pieces, none of them empty, each valid until the next is requested."""
        raise NotImplementedError

    def remaining(self) -> Iterator[memoryview]:
        """Yield the pieces not yet taken, first the rest of the one that `readinto` began."""
        if self.__rest:
            rest, self.__rest = self.__rest, memoryview(b'')
            yield rest
        while piece := self.__next():
            yield piece

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` from the pieces and return the number of bytes, 0 at the end."""
        if not self.__rest:
            self.__rest = self.__next()
        count = min(len(buffer), len(self.__rest))
        buffer[:count] = self.__rest[:count]
        self.__rest = self.__rest[count:]
        return count

    def __next(self) -> memoryview:
        if self.__pieces is None:
            self.__pieces = self.chunks()
        return next(self.__pieces, memoryview(b''))

    def close(self) -> None:
        """Close the underlying source."""


class IteratorSource(ChunkedSource):
    """The chunks of an iterator of bytes, such as an HTTP body, as a source; `close` is called once, at the end."""

    def __init__(self, pieces: Iterator[bytes] | Iterator[memoryview], close: Callable[[], None] = lambda: None,
                 ) -> None:
        super().__init__()
        self._iterator, self._close = pieces, close

    def chunks(self) -> Iterator[memoryview]:
        """Yield each piece that is not empty."""
        return (memoryview(piece) for piece in self._iterator if piece)

    def close(self) -> None:
        """Call the `close` function."""
        close, self._close = self._close, lambda: None
        close()
