"""Uploading a blob in chunks (distribution-spec, Pushing a blob in chunks), resumed at the server's offset."""
import re
from collections.abc import Iterator

from occystrap_core import ServiceError
from occystrap_core.oci import Descriptor
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body, follow
from occystrap_registry.transport.http_library import httpx

_LARGEST = 16 << 20
_STEADY = 1 << 20
"""Chunks of at most this size are not made smaller after a broken connection."""
_SMALLEST = 64 << 10
_RANGE = re.compile(r'(?:bytes=)?0-(\d+)')


class BodyReader:
    """Reads any part of a body; consecutive parts need only one pass over it."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._pieces: Iterator[memoryview] = iter(())
        self._rest, self._position = memoryview(b''), -1

    def part(self, start: int, count: int) -> Iterator[memoryview]:
        """Yield `count` bytes from `start` on."""
        if start != self._position:
            self._pieces, self._rest, self._position = iter(self._body()), memoryview(b''), 0
            for _ in self._read(start):
                pass
        yield from self._read(count)

    def finish(self) -> None:
        """Read the rest, since a layer checks its digest at the end."""
        for _ in self.part(0, 0) if self._position < 0 else ():
            pass
        for _ in self._pieces:
            pass

    def _read(self, count: int) -> Iterator[memoryview]:
        while count:
            piece = self._rest or next(self._pieces)
            taken, self._rest = piece[:count], piece[count:]
            count -= len(taken)
            self._position += len(taken)
            yield taken


class ChunkedUpload:
    """The upload of one blob, one chunk per request."""

    def __init__(self, client: RegistryClient, descriptor: Descriptor, begun: Reply) -> None:
        """`begun` is the answer that opened the upload; it may give the server's minimum size of a chunk."""
        self._client, self._scope = client, client.address.push_scope
        self._descriptor, self._offset = descriptor, 0
        self._at = follow(begun.url, begun.headers['location'])
        minimum = begun.headers.get('oci-chunk-min-length', '')
        self._least = max(_SMALLEST, int(minimum) if minimum.isdecimal() and len(minimum) < 12 else 0)
        self._size = max(int(min(client.endpoint.largest, _LARGEST)), self._least)
        self._attempts = client.attempts()

    def send(self, body: Body) -> Reply:
        """Send all chunks and return the answer to the last request; raises ServiceError."""
        reader = BodyReader(body)
        while self._offset < self._descriptor.size:
            self._send_chunk(reader, min(self._size, self._descriptor.size - self._offset))
        reader.finish()
        target = f'{self._at}{"&" if self._at.query else "?"}digest={self._descriptor.digest}'
        return self._client.fetch('PUT', target, self._scope, {'Content-Length': '0'})

    def _send_chunk(self, reader: BodyReader, count: int) -> None:
        start = self._offset
        headers = {'Content-Length': str(count), 'Content-Type': 'application/octet-stream',
                   'Content-Range': f'{start}-{start + count - 1}'}
        try:
            with self._client.once('PATCH', str(self._at), self._scope, headers,
                                   lambda: reader.part(start, count)) as answer:
                reply = answer.whole()
        except httpx.TransportError as error:
            self._attempts.failed(error)
            self._size = min(self._size, max(_STEADY, self._size // 4, self._least))
            self._ask_offset()
            return
        if reply.status in (201, 202, 204):
            self._accept(reply, start + count)
        elif reply.status == 413 and self._size > self._least:
            self._client.endpoint.refused(count)
            self._size = max(self._least, count // 4)
        elif reply.status == 416 or self._attempts.again(reply):
            self._ask_offset(moved=reply.status == 416)
        else:
            raise self._failure(reply)

    def _accept(self, reply: Reply, offset: int) -> None:
        if 'location' in reply.headers:
            self._at = follow(reply.url, reply.headers['location'])
        self._offset = offset
        self._attempts.progressed()

    def _ask_offset(self, moved: bool = False) -> None:
        """Request the offset of the next chunk; `moved` means that it must differ from ours."""
        reply = self._client.fetch('GET', str(self._at), self._scope)
        if reply.status != 204:
            raise self._failure(reply)
        received = _RANGE.fullmatch(reply.headers.get('range', ''))
        last = int(received[1]) if received else 0
        offset = last + 1 if last else 0  # 0-0 may also mean that nothing was received
        if offset > self._descriptor.size or (moved and offset == self._offset):
            raise ServiceError(f'{self._client.address.host} reports a wrong offset in the upload of blob '
                               f'{self._descriptor.digest}')
        self._offset = offset
        if 'location' in reply.headers:
            self._at = follow(reply.url, reply.headers['location'])

    def _failure(self, reply: Reply) -> ServiceError:
        return self._client.failure(reply, f'{self._client.address.reference.name} refuses blob '
                                           f'{self._descriptor.digest}')
