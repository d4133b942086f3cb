"""The answers of a registry: with a body that is streamed, or with a small body read completely."""
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from occystrap_core.files import CHUNK
from occystrap_registry.transport.connection_pool import stream_of
from occystrap_registry.transport.content_codings import coding_of, decoded_document
from occystrap_registry.transport.http_library import httpcore, httpx

SMALL = 1 << 20
"""Limit in bytes of a token, a list of tags, an error."""
_WORTH_A_CONNECTION = 8 << 20
"""Size in bytes from which reading a body takes so long that a new connection for the next request is cheap."""


class Reply(NamedTuple):
    """A complete answer; `cut` means that the body exceeded the limit and is truncated."""

    status: int
    headers: httpx.Headers
    url: httpx.URL
    body: bytes
    cut: bool = False


class Answer:
    """An answer with an unread body. Close it, preferably by a with statement."""

    def __init__(self, response: httpx.Response, release: Callable[[], None]) -> None:
        """`release` is called once, when the answer is closed."""
        self._response, self._release = response, release
        self._closed = False
        self.status, self.headers, self.url = response.status_code, response.headers, response.request.url

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives, without decoding; raises httpx.TransportError when the connection breaks.

        The connection cannot be used again after a large body, which is read past the HTTP library.
        """
        length, stream = self._length(), stream_of(self._response)
        for piece in self._response.iter_raw() if length < _WORTH_A_CONNECTION else self._straight(length):
            stream.gained(len(piece))
            yield piece

    def _length(self) -> int:
        """Return the body's size in bytes if Content-Length alone determines it (RFC 9112, 6.3), else 0."""
        length = self.headers.get('content-length', '')
        alone = self._response.http_version in ('HTTP/1.0', 'HTTP/1.1') and 'transfer-encoding' not in self.headers
        has_body = self._response.request.method == 'GET' and self.status in (200, 206)
        return int(length) if alone and has_body and length.isdecimal() else 0

    def _straight(self, length: int) -> Iterator[bytes]:
        """Yield a body of `length` bytes (RFC 9112, 6.2) in large pieces, all but the first read from the connection.

        The first piece contains all that the HTTP library has read ahead.
        """
        stream = stream_of(self._response)
        pieces = self._response.iter_raw()  # referenced to the end, as its removal would close the connection
        piece = next(pieces, b'')
        length -= len(piece)
        yield piece
        while piece and length:
            try:
                piece = stream.read(min(length, CHUNK))
            except httpcore.NetworkError as error:
                raise httpx.ReadError(str(error)) from error
            if not piece:
                raise httpx.RemoteProtocolError('the connection was closed within the body')
            length -= len(piece)
            yield piece

    def whole(self, cap: int = SMALL) -> Reply:
        """Return the answer with its body, decoded, truncated at `cap` bytes; raises as `pieces` does."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > cap:
                break
        if len(body) > cap:
            return Reply(self.status, self.headers, self.url, bytes(body[:cap]), True)
        return Reply(self.status, self.headers, self.url, *decoded_document(bytes(body), coding_of(self.headers), cap))

    def close(self) -> None:
        """Release the connection, which can be used again if the body was read."""
        if not self._closed:
            self._closed = True
            self._response.close()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()
