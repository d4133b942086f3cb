"""The bytes of one connection: how long is waited for them, how many come before a body, and where that ends."""
import re
import ssl
import time
from typing import Any, Protocol

from occystrap_core.files import Patience
from occystrap_registry.transport.http_library import httpcore, httpx

_HEAD = 96 << 10
"""Most bytes before a body: header fields, and interim answers (RFC 9110, 15.2) before the one that counts."""
_HEAD_END = re.compile(rb'\n\r?\n')
_LAST_CHUNK = b'0\r\n\r\n'
_FRAMES, _FRAME = 256 << 10, 16
"""Bytes of chunk sizes and extensions (RFC 9112, 7.1) that a body may have, and how many more for each of its own."""


class TooSlow(httpx.TimeoutException):
    """A server goes on sending or taking, but too little."""


class Unexpected(httpx.RemoteProtocolError):
    """A server sends what no answer may have."""


class Host(Protocol):
    """What a stream belongs to."""

    patience: Patience

    def opened(self, stream: 'Stream') -> None:
        """Take note of each layer of the connection: TCP, then TLS."""


class Stream(httpcore.NetworkStream):
    """A connection that reads an answer's head and body apart, each no further than it goes, in limited time."""

    def __init__(self, inner: httpcore.NetworkStream, host: Host, nested: bool = False) -> None:
        """`nested` is TLS within TLS, which has no socket of its own to send by."""
        self._inner, self._host, self._patience = inner, host, host.patience
        self._socket = None if nested else inner.get_extra_info('socket')
        self._ahead = b''
        """What came with the head and belongs to the body, or to nothing."""
        self._in_head, self._heard, self._head, self._head_until = False, False, 0, 0.0
        self._left: int | None = 0
        self._framed, self._payload, self._end = 0, 0, b''
        host.opened(self)

    def begin_request(self) -> None:
        """Take note that a request follows; in HTTP/1.1 the first byte that is sent says so."""

    def begin_body(self, length: int | None) -> None:
        """Let the body of the answer whose head was read come: `length` bytes, None where frames tell, or the end.

        Raises Unexpected for an answer that was there before the request.
        """
        if not self._heard:
            raise Unexpected('it sent an answer to nothing that it was asked')
        self._in_head, self._left = False, length
        self._framed, self._payload, self._end = 0, 0, b''
        self._patience.renew()

    def gained(self, count: int) -> None:
        """Take note of bytes of the body without its frames."""
        self._payload += count
        self._patience.gained(count)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return bytes of the head, or of the body; raises TooSlow, Unexpected and what httpcore's streams raise."""
        return self._read_head(max_bytes) if self._in_head else self._read_body(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; raises TooSlow, Unexpected and what httpcore's streams raise."""
        if not self._in_head:
            self._begin_head()
        rest = memoryview(buffer)
        while rest:
            sent = self._send(rest)
            self._patience.gained(sent)
            rest = rest[sent:]

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None,
                  ) -> httpcore.NetworkStream:
        """Return the stream within this one; the handshake as a whole may take `timeout` seconds."""
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        nested = self._inner.get_extra_info('ssl_object') is not None
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        kind = Http2Stream if inner.get_extra_info('ssl_object').selected_alpn_protocol() == 'h2' else Stream
        return kind(inner, self._host, nested)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks; `is_readable`, of a connection that should be silent, means that it is of no use.
        """
        if info == 'is_readable' and (self._ahead or self._left is None and self._end != _LAST_CHUNK):
            return True
        return self._inner.get_extra_info(info)

    def _begin_head(self) -> None:
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        self._in_head, self._heard, self._head, self._end = True, False, 0, b''
        self._patience.renew()

    def _read_head(self, count: int) -> bytes:
        """Return the next bytes, none after an empty line, which ends the head or an interim answer."""
        data = self._ahead or self._receive_head(count)
        found = _HEAD_END.search(self._end + data)
        cut = found.end() - len(self._end) if found else len(data)
        data, self._ahead = data[:cut], data[cut:]
        self._end = b'' if found else (self._end + data)[-2:]
        self._head += len(data)
        if self._head > _HEAD:
            raise Unexpected(f'its answer has a header of more than {_HEAD >> 10} KiB')
        return data

    def _receive_head(self, count: int) -> bytes:
        """Receive, by a deadline that each head has as a whole."""
        now = time.monotonic()
        if not self._heard:
            self._heard, self._head_until = True, now + self._patience.seconds
        try:
            return self._inner.read(count, max(self._head_until - now, Patience.LEAST))
        except httpcore.ReadTimeout:
            if not self._head:
                raise
            raise TooSlow('does not come to the end of an answer\'s header in time (--timeout)') from None

    def _read_body(self, count: int) -> bytes:
        if self._left is not None:
            count = min(count, self._left)
        if self._ahead:
            data, self._ahead = self._ahead[:count], self._ahead[count:]
        else:
            data = self._receive(count) if count else b''
        if self._left is None:
            self._look_at_frames(data)
        else:
            self._left -= len(data)
        return data

    def _look_at_frames(self, data: bytes) -> None:
        self._framed += len(data)
        self._end = (self._end + data[-len(_LAST_CHUNK):])[-len(_LAST_CHUNK):]
        if self._framed - self._payload * _FRAME > _FRAMES:
            raise Unexpected('its answer consists of next to nothing but frames')

    def _receive(self, count: int) -> bytes:
        left, begun = self._patience.left, time.monotonic()
        try:
            return self._inner.read(count, left)
        except httpcore.ReadTimeout:
            raise self._exhausted(left, 'sends') from None
        finally:
            self._patience.spent(time.monotonic() - begun)

    def _send(self, data: memoryview) -> int:
        """Send some of `data` and return how much."""
        left, begun = self._patience.left, time.monotonic()
        try:
            if self._socket is None:
                data = data[:_FRAMES]
                self._inner.write(bytes(data), left)
                return len(data)
            self._socket.settimeout(left)
            return int(self._socket.send(data))
        except (TimeoutError, httpcore.WriteTimeout):
            raise self._exhausted(left, 'takes') from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error
        finally:
            self._patience.spent(time.monotonic() - begun)

    def _exhausted(self, left: float, does: str) -> httpx.TimeoutException:
        if self._patience.is_silence(left):
            kind = httpx.ReadTimeout if does == 'sends' else httpx.WriteTimeout
            return kind('nothing came or went in time')
        return TooSlow(f'{does} less than {self._patience.rate:g} bytes a second: a lower --least-rate waits longer')


class Http2Stream(Stream):
    """A connection of HTTP/2, used for one request without body at a time: all that comes is frames (RFC 9113)."""

    def __init__(self, inner: httpcore.NetworkStream, host: Host, nested: bool = False) -> None:
        """`nested` is TLS within TLS."""
        super().__init__(inner, host, nested)
        self.begin_request()

    def begin_request(self) -> None:
        """Have time and frames counted anew, for the request and the head of its answer."""
        self._framed, self._payload = 0, 0
        self._patience.renew()

    def begin_body(self, length: int | None) -> None:
        """Have time and frames counted anew, for the body."""
        self.begin_request()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return some frames; raises TooSlow, Unexpected and what httpcore's streams raise."""
        data = self._receive(max_bytes)
        self._look_at_frames(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; raises TooSlow and what httpcore's streams raise. It earns no time, as no request has a body."""
        rest = memoryview(buffer)
        while rest:
            rest = rest[self._send(rest):]

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks."""
        return self._inner.get_extra_info(info)
