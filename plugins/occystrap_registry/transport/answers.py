"""The answers of a registry: with a body that is streamed, or with a small body read completely."""
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from occystrap_registry.transport.content_codings import coding_of, decoded_document
from occystrap_registry.transport.http_connection import Response
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.transport_errors import TransportError
from occystrap_registry.transport.url import URL

SMALL = 1 << 20
"""Limit in bytes of a token, a list of tags, an error."""


class Reply(NamedTuple):
    """A complete answer; `cut` means that the body exceeded the limit and is truncated."""

    status: int
    headers: Headers
    url: URL
    body: bytes
    cut: bool = False


class Answer:
    """An answer with an unread body. Close it, preferably by a with statement."""

    def __init__(self, response: Response, url: URL, release: Callable[[], None]) -> None:
        """`url` is what was requested; `release` is called once, when the answer is closed."""
        self._response, self._release = response, release
        self._closed = False
        self.status, self.headers, self.url = response.status, response.headers, url

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives, without decoding; raises TransportError when the connection breaks."""
        try:
            yield from self._response.pieces()
        except TransportError as error:
            error.url = self.url
            raise

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
