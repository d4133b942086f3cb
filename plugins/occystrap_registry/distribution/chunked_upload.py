"""Uploading a blob by PATCH (distribution-spec, Pushing a blob in chunks), resumed at the server's offset."""
import re
from collections.abc import Iterator

from occystrap_core import ServiceError
from occystrap_core.oci import Descriptor
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.upload_session import TAKEN, UploadSession
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body
from occystrap_registry.transport.transport_errors import TransportError

_LARGEST = 16 << 20
_STEADY = 1 << 20
"""Chunks up to this size are not reduced further after a broken connection."""
_SMALLEST = 64 << 10
_RANGE = re.compile(r'(?:bytes[= ])?\s*0-(\d{1,18})(?=$|/)', re.ASCII)


def _last_byte(reply: Reply) -> int:
    """Return the offset of the last byte that a server has, from its Range; 0 if the Range is missing or malformed."""
    received = _RANGE.match(reply.headers.get('range', '').strip())
    return int(received[1]) if received else 0


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
    """The upload of one blob, one chunk per request, or at once as docker does it."""

    def __init__(self, client: RegistryClient, descriptor: Descriptor, session: UploadSession, at_once: bool = False,
                 ) -> None:
        """`at_once`: one PATCH sends all bytes, without Content-Range; chunks follow only if its connection breaks."""
        self._client, self._scope, self._at_once = client, client.address.push_scope, at_once
        self._descriptor, self._session, self._offset = descriptor, session, 0
        self._least = max(_SMALLEST, session.least)
        self._size = descriptor.size if at_once else max(int(min(client.endpoint.largest, _LARGEST)), self._least)
        self._attempts = client.attempts()

    def send(self, body: Body) -> Reply:
        """Send all chunks and return the answer to the last request, or to a refused one; raises ServiceError."""
        reader = BodyReader(body)
        while self._offset < self._descriptor.size:
            refused = self._send_chunk(reader, min(self._size, self._descriptor.size - self._offset))
            if refused:
                return refused
        reader.finish()
        target = self._session.end(self._descriptor.digest)
        return self._client.fetch('PUT', target, self._scope, {'Content-Length': '0'})

    def _send_chunk(self, reader: BodyReader, count: int) -> Reply | None:
        """Send a chunk; return the answer if it is refused."""
        start = self._offset
        headers = {'Content-Length': str(count), 'Content-Type': 'application/octet-stream'}
        if not self._at_once or count < self._descriptor.size:
            headers['Content-Range'] = f'{start}-{start + count - 1}'
        try:
            with self._client.once('PATCH', str(self._session.url), self._scope, headers,
                                   lambda: reader.part(start, count)) as answer:
                reply = answer.whole()
        except TransportError as error:
            self._attempts.failed(error)
            self._size = min(self._size, max(_STEADY, self._size // 4, self._least))
            return self._ask_offset()
        if reply.status in TAKEN:
            self._accept(reply, count)
        elif reply.status == 413 and self._size > self._least:
            self._client.endpoint.refused(count)
            self._size = max(self._least, count // 4)
        elif reply.status == 416 and not self._at_once:
            return self._resume(count)
        elif self._attempts.again(reply):
            return self._ask_offset()
        else:
            return reply
        return None

    def _accept(self, reply: Reply, count: int) -> None:
        """Go on after `count` bytes, or after the part of them that the server's Range reports.

        Any other Range (0-0, or that of the chunk alone) is ignored, as is that of a single PATCH, which docker never
        reads.
        """
        self._session = self._session.moved(reply)
        taken = _last_byte(reply) + 1 - self._offset
        is_part = self._least <= taken < count and not self._at_once
        self._offset += taken if is_part else count
        self._attempts.progressed()

    def _resume(self, count: int) -> Reply | None:
        """Go on at the server's offset after a 416, which GitHub's registry also sends for too large a chunk.

        Returns the answer if the offset is refused; raises ServiceError if neither the offset nor the chunk size can
        change.
        """
        before = self._offset
        if refused := self._ask_offset():
            return refused
        if self._offset == before:
            if count <= self._least:
                raise self._wrong_offset()
            self._size = max(self._least, count // 4)
        return None

    def _wrong_offset(self) -> ServiceError:
        return ServiceError(f'{self._client.address.host} reports a wrong offset in the upload of blob '
                            f'{self._descriptor.digest}')

    def _ask_offset(self) -> Reply | None:
        """Ask for the offset of the next chunk; return the answer if it is refused."""
        reply = self._client.fetch('GET', str(self._session.url), self._scope)
        if reply.status not in TAKEN:
            return reply
        last = _last_byte(reply)
        offset = last + 1 if last else 0  # 0-0 can also mean that nothing was received
        if offset > self._descriptor.size:
            raise self._wrong_offset()
        self._offset = offset
        self._session = self._session.moved(reply)
        return None
