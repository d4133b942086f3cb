"""Downloading blobs: as streams, resumed after a broken connection, never held in memory."""
from collections.abc import Iterator

from occystrap_core import ImageNotFound, InvalidImage, ServiceError, ServiceUnavailable
from occystrap_core.files import GZIP_END, ChunkedSource, inflated_size
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.error_answers import is_web_page, web_page
from occystrap_registry.distribution.settle_time import NAMED, SettleTime
from occystrap_registry.transport.answers import Answer, Reply
from occystrap_registry.transport.content_codings import coding_of, decoded
from occystrap_registry.transport.retries import RedirectedNowhere
from occystrap_registry.transport.transport_errors import BadAnswer, TransportError

_PROGRESS = 1 << 20
_NO_RANGES = (206, 400, 405, 416, 501)
"""After these answers to a range request the whole blob is requested; 206 is one with another range."""
_FOUND = (200, 206, 416)
"""Answers for a blob that exists: 416 if the first byte of an empty blob was requested."""


class BlobSource(ChunkedSource):
    """A blob's stored bytes. After a broken connection the download is resumed at the next byte."""

    def __init__(self, client: RegistryClient, descriptor: Descriptor, offset: int = 0) -> None:
        """`offset`: bytes before it are skipped, and not requested if the server supports ranges."""
        super().__init__()
        self._client, self._descriptor, self._offset = client, descriptor, offset
        self._attempts = client.attempts()
        self._answer: Answer | None = None
        self._ranges = True
        """Whether the server supports ranges; else the download starts over, and the first bytes are skipped."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes as they arrive from the network."""
        offset = begun = self._offset
        while not offset or offset < self._descriptor.size:  # a server may end a whole body with an error
            try:
                for piece in self._received(offset):
                    offset += len(piece)
                    yield memoryview(piece)
                return
            except TransportError as error:
                self.close()
                if offset - begun >= _PROGRESS:
                    self._attempts.progressed()
                self._attempts.failed(error)
                begun = offset

    def close(self) -> None:
        """Release the connection if it is still in use."""
        if self._answer is not None:
            self._answer.close()

    def _received(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes from `offset` on; if a server without ranges sends everything, skip the first bytes."""
        answer = self._answer = self._opened(offset)
        skip = offset if answer.status == 200 else 0
        received = offset - skip
        for piece in self._pieces(answer):
            if not received and self._has_other_size(answer) and is_web_page(answer.headers, piece):
                raise InvalidImage(f'blob {self._descriptor.digest} cannot be read from '
                                   f'{self._client.address.reference.name}: {web_page(answer.url.netloc)}')
            received += len(piece)
            dropped = min(skip, len(piece))
            skip -= dropped
            if len(piece) > dropped:
                yield piece[dropped:] if dropped else piece
        if received < self._descriptor.size and (offset or not _has_known_end(answer)):
            self._ranges = self._ranges and not _has_known_end(answer)  # less than the rest: a server of slices
            raise BadAnswer('the connection was closed within the blob')
        self.close()

    def _pieces(self, answer: Answer) -> Iterator[bytes]:
        """Yield the blob as it arrives, decoded if the server has compressed it for the transfer.

        A body of the right length is not decoded, whatever its header says. Ranges refer to the compressed form.
        """
        coding = coding_of(answer.headers)
        if not coding or not self._has_other_size(answer):
            return answer.pieces()
        self._ranges = False
        return decoded(answer.pieces(), coding)

    def _has_other_size(self, answer: Answer) -> bool:
        return answer.headers.get('content-length') != str(self._descriptor.size)

    def _opened(self, offset: int) -> Answer:
        """Return the answer whose body begins at `offset` (RFC 9110, 14.2), or at 0."""
        address, digest = self._client.address, self._descriptor.digest
        settle = SettleTime(self._client.settings, 0 if self._descriptor.urls else NAMED)
        while True:
            resumes = offset > 0 and self._ranges
            headers = {'Range': f'bytes={offset}-'} if resumes else {}
            answer = self._client.once('GET', address.blob(digest), address.pull_scope, headers)
            if answer.status == 200 or _resumes_at(answer, offset):
                return answer
            with answer:
                reply = answer.whole()
            if resumes and reply.status in _NO_RANGES:
                self._ranges = False
                continue
            if reply.status == 404 and settle.again():
                continue
            if not self._attempts.again(reply):
                raise _missing(self._client, self._descriptor) if reply.status == 404 else self._client.failure(
                    reply, f'blob {digest} cannot be read from {address.reference.name}')


def blob_size(client: RegistryClient, descriptor: Descriptor) -> int | None:
    """Return the size in bytes that the registry reports for a blob, None if it reports none.

    Raises ImageNotFound, ServiceError.
    """
    address = client.address
    reply, size = stored_size(client, descriptor.digest, address.pull_scope, descriptor.size)
    if reply.status == 404:
        raise _missing(client, descriptor)
    if reply.status not in _FOUND:
        raise client.failure(reply, f'blob {descriptor.digest} cannot be read from {address.reference.name}')
    return size


def stored_size(client: RegistryClient, digest: Digest, scope: str, expected: int | None = None,
                ) -> tuple[Reply, int | None]:
    """Return the answer for a blob, and the size in bytes that it states, None if it states none.

    Some registries answer HEAD with a wrong status or size, or redirect it to a URL that is signed for GET only, or to
    one that does not exist: these are asked by GET for one byte. Raises ServiceError.
    """
    path, size = client.address.blob(digest), None
    if client.endpoint.heads_blobs:
        reply = _head(client, path, scope)
        if reply and reply.status == 200 and not coding_of(reply.headers):
            size = _number(reply.headers.get('content-length', ''))
        is_good = size and expected in (None, size)
        if reply and (is_good or reply.status == 404 or (reply.status >= 500 and reply.status != 501)):
            return reply, size
    reply = client.fetch('GET', path, scope, {'Range': 'bytes=0-0'}, cap=1)
    told = (reply.headers.get('content-length', '') if reply.status == 200 else
            reply.headers.get('content-range', '').rpartition('/')[2])
    if reply.status in (200, 206) and (size is None or _number(told) != size):
        client.endpoint.heads_blobs = False
    return reply, _number(told)


def _head(client: RegistryClient, path: str, scope: str) -> Reply | None:
    """Return the answer to HEAD; None if it is refused or redirected to a URL that does not exist, as always at some
    registries."""
    try:
        return client.fetch('HEAD', path, scope)
    except ServiceUnavailable as error:
        if isinstance(error, RedirectedNowhere):
            return None
        raise
    except ServiceError:
        return None


def _number(text: str) -> int | None:
    return int(text[:20]) if text.isascii() and text.isdigit() else None


def tar_size_hint(client: RegistryClient, descriptor: Descriptor) -> int | None:
    """Return a hint of the uncompressed size in bytes of a gzip blob, from its last bytes; None if there is none."""
    if not descriptor.media_type.endswith('gzip') or descriptor.size < 18:
        return None
    count = min(GZIP_END, descriptor.size)
    headers = {'Range': f'bytes={descriptor.size - count}-{descriptor.size - 1}'}
    address = client.address
    try:
        reply = client.fetch('GET', address.blob(descriptor.digest), address.pull_scope, headers, cap=count)
    except ServiceError:
        return None  # the error is raised when the blob is read
    is_end = reply.status == 206 and not reply.cut and len(reply.body) == count
    return inflated_size(reply.body, descriptor.size) if is_end else None


def _missing(client: RegistryClient, descriptor: Descriptor) -> ImageNotFound | InvalidImage:
    if descriptor.urls:
        return InvalidImage(f'blob {descriptor.digest} is a foreign layer, which {client.address.reference.name} does '
                            'not have: its urls are not followed', 'layer-missing')
    return ImageNotFound(f'blob {descriptor.digest} is not in {client.address.reference.name}', 'layer-missing')


def _resumes_at(answer: Answer, offset: int) -> bool:
    return answer.status == 206 and answer.headers.get('content-range', '').startswith(f'bytes {offset}-')


def _has_known_end(answer: Answer) -> bool:
    """Return whether the HTTP library would have detected a truncated body (RFC 9112, 6.3)."""
    return 'content-length' in answer.headers or 'transfer-encoding' in answer.headers
