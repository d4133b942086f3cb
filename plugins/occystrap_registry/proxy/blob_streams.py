"""Streams of blobs from downstream; the last piece is held back until the digest of the blob has been checked."""
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from functools import cache, partial
from typing import TypeVar

import anyio
import anyio.to_thread

from occystrap_core import OccystrapError
from occystrap_core.files import print_message

T = TypeVar('T')
_AT_ONCE = 1 << 20
"""Blobs of at most this many bytes are checked as a whole before the answer begins."""
_READERS = 256
"""The number of threads that may wait for other registries."""


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """Return the result of `work`, run on a thread that may wait for another registry."""
    return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=_readers())


@cache
def _readers() -> 'anyio.CapacityLimiter':
    """Return the limiter for these threads, made at its first use, since its module is imported late."""
    return anyio.CapacityLimiter(_READERS)


class BlobStream:
    """A blob in pieces; `open` raises errors of a small blob before the answer begins."""

    def __init__(self, pieces: Generator[bytes]) -> None:
        """`pieces` raises an error at its end if the blob is wrong."""
        self._pieces = pieces
        self._first = deque[bytes]()

    def open(self) -> None:
        """Read the beginning, or all of a small blob; raises OccystrapError."""
        size = 0
        for piece in self._pieces:
            self._first.append(piece)
            size += len(piece)
            if size > _AT_ONCE:
                break

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the blob; an error that aborts the answer is raised if it turns out to be wrong."""
        try:
            held = b''
            while piece := self._first.popleft() if self._first else await in_thread(next, self._pieces, b''):
                if held:
                    yield held
                held = piece
            yield held
        except OccystrapError as error:
            print_message(f'occystrap: warning: an answer was aborted: {error}')
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(self._pieces.close)
