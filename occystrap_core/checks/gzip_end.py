"""Finding zeros behind the gzip data of a blob: RFC 1952 knows none, gzip and Python skip them, Go refuses them."""
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from occystrap_core.files.compression import detect_compression
from occystrap_core.files.stream import CHUNK, ByteStream
from occystrap_core.oci.media_types import Compression

_GZIP = 31
"""What zlib calls the window of a gzip member."""
_MEMBER = bytes.fromhex('1f8b08')
_LAST = 128
_PIECE = 1 << 14
"""Bytes: what follows a member is copied, and a blob may have many."""


class GzipEnd:
    """Looks at a blob as it passes, and keeps its first and last bytes."""

    def __init__(self) -> None:
        self._head = self._last = b''

    def add(self, piece: memoryview) -> None:
        """Look at the next bytes."""
        if len(self._head) < len(_MEMBER):
            self._head += bytes(piece[:len(_MEMBER)])
        self._last = (self._last + bytes(piece[-_LAST:]))[-_LAST:]

    def is_padded(self, inflated: int, again: Callable[[], AbstractContextManager[ByteStream]]) -> bool:
        """Return whether zeros follow the gzip data of a whole blob, which inflates to so many bytes.

        `again` opens the blob once more, which few need: those of several members, of which the last one may have, or
        seems to have, a size that ends with a zero byte. Raises what reading raises.
        """
        if detect_compression(self._head) is not Compression.GZIP or not self._last.endswith(b'\0'):
            return False
        if inflated % 2**32 and self._last.endswith((inflated % 2**32).to_bytes(4, 'little')):
            return False  # the size of a single member
        if self._ends_with_a_member():
            return False
        with again() as blob:
            return _zeros_follow(blob)

    def _ends_with_a_member(self) -> bool:
        """Return whether a small member ends the blob, as those do that list the files of a layer or tell its size."""
        start = self._last.rfind(_MEMBER)
        return start >= 0 and _is_member(self._last[start:])


def _is_member(data: bytes) -> bool:
    member = zlib.decompressobj(_GZIP)
    try:
        member.decompress(data)
    except zlib.error:
        return False
    return member.eof and not member.unused_data


def _zeros_follow(blob: ByteStream) -> bool:
    """Read a blob to its end, which proves it; return whether a zero is where a member might begin."""
    member, begun, found = zlib.decompressobj(_GZIP), False, False
    for chunk in blob.chunks():
        for start in range(0, len(chunk), _PIECE):
            data = b'' if found else bytes(chunk[start:start + _PIECE])
            while data and not found:
                found = not begun and not data[0]
                begun = True
                try:
                    member.decompress(data, CHUNK)
                except zlib.error:
                    break
                data = member.unconsumed_tail
                if member.eof:
                    data, member, begun = member.unused_data, zlib.decompressobj(_GZIP), False
    return found
