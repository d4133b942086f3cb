"""The body of a request, piece by piece, from clients that keep a minimum rate."""
import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import Request

from occystrap_registry.server.problems import Problem

_PATIENCE = 60.0
"""Seconds that a client may send nothing, or be below the minimum rate."""
_RATE = 1024
"""Minimum rate in bytes per second."""


async def paced_body(request: Request) -> AsyncIterator[bytes]:
    """Yield the body; raises Problem 408 for a client that is too slow, ClientDisconnect for a closed connection."""
    begun, size = time.monotonic(), 0
    stream = request.stream()
    while True:
        now = time.monotonic()
        patience = min(now, begun + size / _RATE) + _PATIENCE - now
        piece = b''
        try:
            async with asyncio.timeout(patience):
                async for piece in stream:
                    break
                else:
                    return
        except TimeoutError:
            raise Problem(408, 'BLOB_UPLOAD_INVALID',
                          f'the body arrives too slowly: at least {_RATE} bytes per second are required',
                          {'Connection': 'close'}) from None
        size += len(piece)
        yield piece
