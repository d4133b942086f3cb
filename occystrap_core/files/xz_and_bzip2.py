"""Decompressing xz and bzip2, in which few layers and archives are, though Docker and Podman load them."""
import bz2
import lzma
from collections.abc import Callable
from typing import Protocol

from occystrap_core.files.stream import CHUNK, Readable

_MEMORY = 80 << 20
"""The memory limit for one stream, in bytes: `xz -9` needs 65 MiB."""


class DamagedStream(ValueError):
    """The bytes are not what the format allows."""


class _Decompressor(Protocol):
    """What both libraries have; `decompress` returns at most as many bytes as requested."""

    @property
    def eof(self) -> bool: ...  # noqa: D102

    @property
    def needs_input(self) -> bool: ...  # noqa: D102

    @property
    def unused_data(self) -> bytes: ...  # noqa: D102

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...  # noqa: D102


def xz_reader(source: Readable) -> Readable:
    """Return the uncompressed bytes of xz; reading raises DamagedStream or, for truncated ones, EOFError."""
    return _Streams(source, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY))


def bzip2_reader(source: Readable) -> Readable:
    """Return the uncompressed bytes of bzip2; reading raises DamagedStream or, for truncated ones, EOFError."""
    return _Streams(source, bz2.BZ2Decompressor)


class _Streams:
    """Concatenated streams, as `xz` and `bzip2` write them on several processors; zeros between them are padding."""

    def __init__(self, source: Readable, begin: Callable[[], _Decompressor]) -> None:
        self._source, self._begin = source, begin
        self._decompressor: _Decompressor | None = begin()
        self._pending = b''
        self._buffer = memoryview(bytearray(CHUNK))

    def readinto(self, buffer: memoryview, /) -> int:
        while self._decompressor:
            data = self._read() if self._decompressor.needs_input else b''
            if not data and self._decompressor.needs_input:
                raise EOFError('it is cut off')
            found = self._decompressed(data, len(buffer))
            buffer[:len(found)] = found
            self._go_on()
            if found:
                return len(found)
        return 0

    def _decompressed(self, data: bytes, most: int) -> bytes:
        assert self._decompressor
        try:
            return self._decompressor.decompress(data, most)
        except (lzma.LZMAError, OSError, ValueError) as error:  # bzip2 has OSError for damaged data
            raise DamagedStream(str(error)) from None

    def _go_on(self) -> None:
        """Begin the next stream after the end of one; None after the last."""
        while self._decompressor and self._decompressor.eof:
            rest = self._decompressor.unused_data.lstrip(b'\0')
            while not rest and (more := self._read()):
                rest = more.lstrip(b'\0')
            self._decompressor = self._begin() if rest else None
            if self._decompressor:
                self._pending = rest

    def _read(self) -> bytes:
        if pending := self._pending:
            self._pending = b''
            return pending
        return bytes(self._buffer[:self._source.readinto(self._buffer) or 0])

    def close(self) -> None:
        """Close the source."""
        self._source.close()
