"""What a registry answers: a body that still streams, or a small one read whole."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore  # noqa: F401  # httpx does so at the first request, then on several threads at once
import httpx

SMALL = 1 << 20
"""Most bytes that are read of a token, a list of tags, an error."""


@dataclass(frozen=True)
class Reply:
    """An answer read whole; a body of more bytes than were allowed is `cut`."""

    status: int
    headers: httpx.Headers
    url: httpx.URL
    body: bytes
    cut: bool = False


class Answer:
    """An answer whose body is still to be read. Close it, best by a with statement."""

    def __init__(self, response: httpx.Response, release: Callable[[], None]) -> None:
        """`release` is called once, when the answer is closed."""
        self._response, self._release = response, release
        self._closed = False
        self.status, self.headers, self.url = response.status_code, response.headers, response.request.url

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes, in whatever Content-Encoding; raises httpx.TransportError when it breaks off."""
        return self._response.iter_raw()

    def whole(self, cap: int = SMALL) -> Reply:
        """Return the answer with its body, of which no more than `cap` bytes are read; raises as `pieces` does."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > cap:
                break
        return Reply(self.status, self.headers, self.url, bytes(body[:cap]), len(body) > cap)

    def close(self) -> None:
        """Let go of the connection, which can be used again if the body was read."""
        if not self._closed:
            self._closed = True
            self._response.close()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()
