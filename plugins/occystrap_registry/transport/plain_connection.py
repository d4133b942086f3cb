"""Requests by HTTP/1.1 over our own connection; the standard library parses the answers."""
import io
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, InvalidURL
from typing import Any, cast

from occystrap_core import __version__
from occystrap_core.files import CHUNK
from occystrap_registry.transport.http_connection import (
    IDLE, Connection, Response, body_length, content_lengths, is_length,
)
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.http_stream import Stream
from occystrap_registry.transport.network import Network
from occystrap_registry.transport.transport_errors import BadAnswer, NotSent, Unsendable
from occystrap_registry.transport.url import URL

_HAVE_BODIES = ('POST', 'PUT', 'PATCH')
_HEAD = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n\0]*)?\r?\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r?\n(?:[ \t][^\r\n\0]*\r?\n)*)*"
    rb"\r?\n")
"""Matches heads that the standard library parses completely: RFC 9112, 4 and 5, with the folded lines of 5.2.

It parses at most 100 fields, and lines of at most 64 KiB.
"""
_BLANKS = re.compile(rb'(?<=[^\s])[ \t]+(?=\r?\n)')
"""White space after a value, which is not part of it (RFC 9110, 5.5)."""
_BROKEN = 'the connection was closed within the body'
_CONTROLS = re.compile('[\x00-\x08\x0a-\x1f\x7f]')
_FOLD = re.compile(r'\r?\n[ \t]*')


class PlainConnection(Connection):
    """A connection with HTTP/1.1, to the host itself or through a SOCKS proxy."""

    def __init__(self, network: Network, context: ssl.SSLContext | None, seconds: float) -> None:
        """`context` is for TLS; connecting and the handshake may take `seconds` each."""
        self._network, self._context, self._seconds = network, context, seconds
        self._stream: Stream | None = None
        self._idle_since = 0.0

    def send(self, method: str, url: URL, headers: Mapping[str, str], body: Iterable[memoryview] | None) -> Response:
        """Return the answer, its body unread; raises TransportError."""
        stream = self._stream = self._usable() or self._connected(url)
        try:
            return _Answer(self, stream, method, _exchanged(stream, method, url, headers, body))
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """Break the connection."""
        self._network.interrupt()

    def keep(self) -> None:
        """Keep the connection for the next request, if that comes soon."""
        self._idle_since = time.monotonic()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _usable(self) -> Stream | None:
        if self._stream and time.monotonic() < self._idle_since + IDLE and self._stream.is_reusable:
            return self._stream
        self.close()
        return None

    def _connected(self, url: URL) -> Stream:
        stream = self._network.connect(url.host, url.port_or_default, self._seconds)
        return stream if self._context is None else stream.start_tls(self._context, url.host, self._seconds)


class _Answer(Response):
    def __init__(self, connection: PlainConnection, stream: Stream, method: str, response: HTTPResponse) -> None:
        self._connection, self._stream, self._response = connection, stream, response
        self.status, self.headers = response.status, _headers_of(response)
        _check_framing(self.headers, response)
        self._left = body_length(method, self.status, self.headers)
        stream.begin_body(self._left)
        self._is_read = self._left == 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives."""
        while not self._is_read:
            piece = self._next_piece()
            if self._left is not None:
                self._left -= len(piece)
            self._is_read = not piece or self._left == 0
            if piece:
                self._stream.gained(len(piece))
                yield piece

    def _next_piece(self) -> bytes:
        try:
            piece = self._response.read1(CHUNK)
        except HTTPException as error:
            what = _BROKEN if isinstance(error, IncompleteRead) else f'its body is not HTTP: {error}'
            raise BadAnswer(what) from error
        if self._left and not piece:
            raise BadAnswer(_BROKEN)
        return piece

    def close(self) -> None:
        """Keep the connection if the body was read and the server keeps it as well."""
        if self._is_read and not self._response.will_close:
            self._connection.keep()
        else:
            self._connection.close()


class _Wire:
    """The part of a socket's interface that http.client uses."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.sendall = stream.write

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._stream))

    def close(self) -> None:
        pass  # the stream is kept for the next request, or closed by its owner


class _Incoming(io.RawIOBase):
    """First the final head, after checks, then the body."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._head: bytes | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if self._head is None:
            self._head = self._stream.read_head()
            if self._head and not _HEAD.fullmatch(self._head):
                raise BadAnswer('its answer is not HTTP')
            self._head = _BLANKS.sub(b'', self._head)
        if not self._head:
            return self._stream.read_into(view)
        data, self._head = self._head[:len(view)], self._head[len(view):]
        view[:len(data)] = data
        return len(data)


def _exchanged(stream: Stream, method: str, url: URL, headers: Mapping[str, str], body: Iterable[memoryview] | None,
               ) -> HTTPResponse:
    """Send the request and return the answer; an answer that arrives before everything is sent is accepted, too."""
    connection = HTTPConnection('')
    connection.sock = cast(Any, _Wire(stream))
    _put_head(connection, method, url, headers, body is not None)
    if body is not None and 'Content-Length' in headers:
        body = _exactly(int(headers['Content-Length']), body)
    with suppress(NotSent):
        connection.endheaders(cast(Any, body), encode_chunked=body is not None and 'Content-Length' not in headers)
    try:
        return connection.getresponse()
    except HTTPException as error:
        raise BadAnswer(str(error) or 'its answer is not HTTP') from error


def _exactly(size: int, body: Iterable[memoryview]) -> Iterator[memoryview]:
    """Yield a body; raises Unsendable if it is longer or shorter than its header says."""
    for piece in body:
        size -= len(piece)
        if size < 0:
            break
        yield piece
    if size:
        raise Unsendable('a body is not as long as its Content-Length')


def _put_head(connection: HTTPConnection, method: str, url: URL, headers: Mapping[str, str], has_body: bool) -> None:
    defaults = {'Host': url.netloc, 'User-Agent': f'occystrap/{__version__}', 'Accept': '*/*',
                'Accept-Encoding': 'identity'}
    if 'Content-Length' not in headers and (has_body or method in _HAVE_BODIES):
        defaults |= {'Transfer-Encoding': 'chunked'} if has_body else {'Content-Length': '0'}
    try:
        connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
        for name, value in {**defaults, **headers}.items():
            if _CONTROLS.search(value):
                raise ValueError(f'{name} has control characters')
            connection.putheader(name, value)
    except (ValueError, InvalidURL) as error:
        raise Unsendable(str(error)) from error


def _headers_of(response: HTTPResponse) -> Headers:
    return Headers((name, _text(value)) for name, value in response.getheaders())


def _text(value: str) -> str:
    """Return a value with folded lines joined, decoded as UTF-8 if it is that."""
    if '\n' in value:
        value = _FOLD.sub(' ', value)
    if value.isascii():
        return value.strip()
    try:
        return value.encode('latin-1').decode().strip()
    except UnicodeError:
        return value.strip()


def _check_framing(headers: Headers, response: HTTPResponse) -> None:
    """Refuse answers whose end two parsers may see in different places (RFC 9112, 6.3), or the standard library and we
    do."""
    lengths, codings = content_lengths(headers), headers.get_list('transfer-encoding')
    if len(lengths) > 1 or not all(map(is_length, lengths)):
        raise BadAnswer('its answer has no valid Content-Length')
    if codings and ([each.lower() for each in codings] != ['chunked'] or not response.chunked):
        raise BadAnswer('its answer has a transfer coding that nobody asked for')
