"""The bytes of one connection: their timeouts, the limits of heads and frames, and the end of each body."""
import re
import ssl
import time
from typing import Any, Protocol

from occystrap_core.files import Patience
from occystrap_registry.transport.http_library import httpcore, httpx

_HEAD = 96 << 10
"""Limit in bytes before a body: header fields, and interim answers (RFC 9110, 15.2) before the final one."""
_HEAD_END = re.compile(rb'\n\r?\n')
_LAST_CHUNK = b'0\r\n\r\n'
_FRAMES, _FRAME = 256 << 10, 16
"""Limit in bytes of a body's framing, such as chunk sizes (RFC 9112, 7.1), and how much a byte of body adds to it."""


class TooSlow(httpx.TimeoutException):
    """A server sends or receives below the minimum rate."""


class Unexpected(httpx.RemoteProtocolError):
    """A server sends bytes that no answer may have."""


class Host(Protocol):
    """The owner of a stream."""

    patience: Patience

    def opened(self, stream: 'Stream') -> None:
        """Note each layer of the connection: TCP, then TLS."""


class Stream(httpcore.NetworkStream):
    """A connection of HTTP/1.1 that reads head and body of an answer separately, each up to its end, with timeouts."""

    def __init__(self, inner: httpcore.NetworkStream, host: Host, nested: bool = False) -> None:
        """`nested` means TLS within TLS, where data cannot be sent by the socket."""
        self._inner, self._host, self._patience = inner, host, host.patience
        self._socket = None if nested else inner.get_extra_info('socket')
        self._ahead = b''
        """Bytes that came with the head and belong to the body, or to nothing."""
        self._in_head, self._heard, self._head, self._head_until = False, False, 0, 0.0
        self._left: int | None = 0
        self._framed, self._payload, self._end = 0, 0, b''
        host.opened(self)

    def begin_request(self) -> None:
        """Note that a request follows; HTTP/1.1 notes it when the first byte is sent."""

    def begin_body(self, length: int | None) -> None:
        """Begin the body of the answer whose head was read: `length` bytes, None if framing or the end delimit it.

        Raises Unexpected for an answer that came before the request.
        """
        if not self._heard:
            raise Unexpected('it sent an answer before any request')
        self._in_head, self._left = False, length
        self._framed, self._payload, self._end = 0, 0, b''
        self._patience.renew()

    def gained(self, count: int) -> None:
        """Note `count` bytes of the body, framing excluded."""
        self._payload += count
        self._patience.gained(count)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return bytes of the head or the body; raises TooSlow, Unexpected and the errors of httpcore's streams."""
        return self._read_head(max_bytes) if self._in_head else self._read_body(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; raises TooSlow, Unexpected and the errors of httpcore's streams."""
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
        """Return the TLS stream on top of this one; the handshake may take `timeout` seconds."""
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        nested = self._inner.get_extra_info('ssl_object') is not None
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        kind = Http2Stream if inner.get_extra_info('ssl_object').selected_alpn_protocol() == 'h2' else Stream
        return kind(inner, self._host, nested)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for; `is_readable` is true if an idle connection cannot be used again."""
        if info == 'is_readable' and (self._ahead or self._left is None and self._end != _LAST_CHUNK):
            return True
        return self._inner.get_extra_info(info)

    def _begin_head(self) -> None:
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        self._in_head, self._heard, self._head, self._end = True, False, 0, b''
        self._patience.renew()

    def _read_head(self, count: int) -> bytes:
        """Return the next bytes, none beyond an empty line, which ends the head or an interim answer."""
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
        """Receive; each head has a deadline as a whole."""
        now = time.monotonic()
        if not self._heard:
            self._heard, self._head_until = True, now + self._patience.seconds
        try:
            return self._inner.read(count, max(self._head_until - now, Patience.LEAST))
        except httpcore.ReadTimeout:
            if not self._head:
                raise
            raise TooSlow('does not finish the header of its answer in time (--timeout)') from None

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
            raise Unexpected('its answer is mostly framing')

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
            raise self._exhausted(left, 'receives') from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error
        finally:
            self._patience.spent(time.monotonic() - begun)

    def _exhausted(self, left: float, does: str) -> httpx.TimeoutException:
        if self._patience.is_silence(left):
            kind = httpx.ReadTimeout if does == 'sends' else httpx.WriteTimeout
            return kind('no bytes were transferred in time')
        return TooSlow(f'{does} less than {self._patience.rate:g} bytes a second: lower --least-rate to wait longer')


class Http2Stream(Stream):
    """A connection of HTTP/2, for one request without body at a time: everything arrives in frames (RFC 9113)."""

    def __init__(self, inner: httpcore.NetworkStream, host: Host, nested: bool = False) -> None:
        """`nested` means TLS within TLS."""
        super().__init__(inner, host, nested)
        self.begin_request()

    def begin_request(self) -> None:
        """Restart timeout and limit of framing, for the request and the head of its answer."""
        self._framed, self._payload = 0, 0
        self._patience.renew()

    def begin_body(self, length: int | None) -> None:
        """Restart timeout and limit of framing, for the body."""
        self.begin_request()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return bytes of frames; raises TooSlow, Unexpected and the errors of httpcore's streams."""
        data = self._receive(max_bytes)
        self._look_at_frames(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; raises TooSlow and the errors of httpcore's streams. It does not extend the timeout."""
        rest = memoryview(buffer)
        while rest:
            rest = rest[self._send(rest):]
