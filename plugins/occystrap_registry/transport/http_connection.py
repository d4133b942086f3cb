"""One request and its answer: the interface, whichever library speaks HTTP."""
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping

from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.url import URL


IDLE = 30.0
"""Seconds after which an idle connection is not reused; servers and proxies close theirs after 60."""
_DIGITS = 20


class Response(ABC):
    """An answer with an unread body."""

    status: int
    headers: Headers

    @abstractmethod
    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives; raises TransportError if it breaks or is not complete."""

    @abstractmethod
    def close(self) -> None:
        """Finish with the answer: the connection can be reused if the body was read."""


class Connection(ABC):
    """A connection to one host, for one request at a time; opened by the first request, and again after it broke."""

    @abstractmethod
    def send(self, method: str, url: URL, headers: Mapping[str, str], body: Iterable[memoryview] | None) -> Response:
        """Return the answer, its body unread; raises TransportError."""

    @abstractmethod
    def interrupt(self) -> None:
        """Break the connection, which wakes up a thread that waits for an answer."""

    @abstractmethod
    def close(self) -> None:
        """Close an idle connection."""


def body_length(method: str, status: int, headers: Headers) -> int | None:
    """Return the size of an answer's body in bytes (RFC 9112, 6.3); None if its end is marked in another way."""
    if method == 'HEAD' or status in (204, 304):
        return 0
    lengths = content_lengths(headers)
    known = len(lengths) == 1 and 'transfer-encoding' not in headers and all(map(is_length, lengths))
    return int(lengths.pop()) if known else None


def is_length(text: str) -> bool:
    """Return whether a text is a number of bytes that a body can have."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


def content_lengths(headers: Headers) -> set[str]:
    """Return the distinct values of Content-Length, which may occur several times (RFC 9110, 8.6)."""
    return {each.strip() for value in headers.get_list('content-length') for each in value.split(',')}
