"""The bytes of one connection: timeouts, limits for heads and framing, and the end of each body."""
import re
import ssl
import time
from typing import Protocol

from occystrap_core.files import Patience
from occystrap_registry.transport.transport_errors import BadAnswer, TimedOut
from occystrap_registry.transport.wire import Wire

_HEAD = 96 << 10
"""Limit in bytes before a body: header fields, and interim answers (RFC 9110, 15.2) before the final one."""
_HEAD_END = re.compile(rb'\n\r?\n')
_LONGEST_END = b'\n\r\n'
_INTERIM = (b'HTTP/1.1 1', b'HTTP/1.0 1')
_READ = 16 << 10
_FRAMED_READ = 64 << 10
"""Bytes read at once of a body with framing, which is counted before the content in it is."""
_LAST_CHUNK = b'0\r\n\r\n'
_FRAMES, _FRAME = 256 << 10, 16
"""Limit in bytes of a body's framing, such as chunk sizes (RFC 9112, 7.1), and how much each byte of body extends it.
"""


class TooSlow(TimedOut):
    """A server sends or receives below the minimum rate."""


class Unexpected(BadAnswer):
    """A server sent bytes where none are permitted."""


class Host(Protocol):
    """The owner of a stream."""

    patience: Patience

    def opened(self, stream: 'Stream') -> None:
        """Note each layer of the connection: TCP, then TLS."""


class Stream:
    """A connection of HTTP/1.1 that reads head and body of an answer separately, each up to its end, with timeouts."""

    def __init__(self, wire: Wire, host: Host) -> None:
        self.wire, self._host, self._patience = wire, host, host.patience
        self._ahead = b''
        """Bytes that arrived with the head and belong to the body, or to nothing."""
        self._in_head, self._heard, self._head, self._head_until = False, False, 0, 0.0
        self._left: int | None = 0
        self._framed, self._payload, self._end = 0, 0, b''
        host.opened(self)

    def begin_request(self) -> None:
        """Note that a request follows; HTTP/1.1 notes it when the first byte is sent."""

    def begin_body(self, length: int | None) -> None:
        """Begin the body of the answer whose head was read: `length` bytes, None if framing or the end delimit it."""
        self._in_head, self._left = False, length
        self._framed, self._payload, self._end = 0, 0, b''
        self._patience.renew()

    def gained(self, count: int) -> None:
        """Note `count` bytes of the body, framing excluded."""
        self._payload += count
        self._patience.gained(count)

    @property
    def expects_head(self) -> bool:
        """Whether a request was sent, and what comes next is the head of its answer."""
        return self._in_head

    def read_head(self) -> bytes:
        """Return the head of the answer to the request that was sent, after interim ones (RFC 9110, 15.2).

        Fewer bytes mean that the connection ended. Raises TooSlow, Unexpected, TransportError.
        """
        while (head := self._next_head()).startswith(_INTERIM):
            pass
        return head

    def read_into(self, buffer: memoryview) -> int:
        """Return how many bytes of the body were read, 0 at its end; raises TooSlow, Unexpected, TransportError."""
        buffer = buffer[:_FRAMED_READ if self._left is None else self._left]
        count = self._take_ahead(buffer) if self._ahead else self._receive(buffer) if buffer else 0
        if self._left is None:
            self._look_at_frames(buffer[:count])
        else:
            self._left -= count
        return count

    def write(self, data: bytes | memoryview) -> None:
        """Send; raises TooSlow, Unexpected, TransportError."""
        if not self._in_head:
            self._begin_head()
        rest = memoryview(data)
        while rest:
            sent = self._send(rest)
            self._patience.gained(sent)
            rest = rest[sent:]

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()

    def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> 'Stream':
        """Return the stream with TLS on top of this one; the handshake may take `seconds`."""
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        wire = self.wire.start_tls(context, host, seconds)
        return (Http2Stream if wire.protocol == 'h2' else Stream)(wire, self._host)

    @property
    def has_frames(self) -> bool:
        """Whether the last body was delimited by framing, or by the end of the connection."""
        return self._left is None

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow: the answer has ended, and nothing came after it."""
        has_ended = self._left == 0 or self._left is None and self._end == _LAST_CHUNK
        return has_ended and not self._ahead and not self.wire.is_readable()

    def _begin_head(self) -> None:
        if self._ahead:
            raise Unexpected('it sent more than its answer')
        self._in_head, self._heard, self._head, self._end = True, False, 0, b''
        self._patience.renew()

    def _next_head(self) -> bytes:
        """Return the bytes up to an empty line, which ends the head of a final or interim answer."""
        head, before, found = bytearray(), self._head, None
        while not found and (data := self._ahead or self._receive_head()):
            self._ahead = b''
            seen = max(len(head) - len(_LONGEST_END), 0)
            head += data
            found = _HEAD_END.search(head, seen)
            self._head = before + (found.end() if found else len(head))
            if self._head > _HEAD:
                raise Unexpected(f'its answer has a header of more than {_HEAD >> 10} KiB')
        if found:
            head, self._ahead = head[:found.end()], bytes(head[found.end():])
        return bytes(head)

    def _receive_head(self) -> bytes:
        """Receive; each head has a deadline as a whole."""
        now = time.monotonic()
        if not self._heard:
            self._heard, self._head_until = True, now + self._patience.seconds
        buffer = memoryview(bytearray(_READ))
        try:
            return bytes(buffer[:self.wire.receive_into(buffer, max(self._head_until - now, Patience.LEAST))])
        except TimedOut:
            if not self._head:
                raise
            raise TooSlow('does not finish the header of its answer in time (--timeout)') from None

    def _take_ahead(self, buffer: memoryview) -> int:
        data, self._ahead = self._ahead[:len(buffer)], self._ahead[len(buffer):]
        buffer[:len(data)] = data
        return len(data)

    def _look_at_frames(self, data: memoryview) -> None:
        self._framed += len(data)
        self._end = (self._end + bytes(data[-len(_LAST_CHUNK):]))[-len(_LAST_CHUNK):]
        if self._framed - self._payload * _FRAME > _FRAMES:
            raise Unexpected('its answer is mostly framing')

    def _receive(self, buffer: memoryview) -> int:
        left, begun = self._patience.left, time.monotonic()
        try:
            return self.wire.receive_into(buffer, left)
        except TimedOut:
            raise self._exhausted(left, 'sends') from None
        finally:
            self._patience.spent(time.monotonic() - begun)

    def _send(self, data: memoryview) -> int:
        """Send some of `data` and return how much."""
        left, begun = self._patience.left, time.monotonic()
        try:
            return self.wire.send(data, left)
        except TimedOut:
            raise self._exhausted(left, 'receives') from None
        finally:
            self._patience.spent(time.monotonic() - begun)

    def _exhausted(self, left: float, does: str) -> TimedOut:
        if self._patience.is_silence(left):
            return TimedOut('no bytes were transferred in time')
        return TooSlow(f'{does} less than {self._patience.rate:g} bytes a second: lower --least-rate to wait longer')


class Http2Stream(Stream):
    """A connection of HTTP/2, for one request without body at a time: all bytes arrive in frames (RFC 9113)."""

    def __init__(self, wire: Wire, host: Host) -> None:
        super().__init__(wire, host)
        self.begin_request()

    def begin_request(self) -> None:
        """Restart timeout and limit of framing, for the request and the head of its answer."""
        self._framed, self._payload = 0, 0
        self._patience.renew()

    def begin_body(self, length: int | None) -> None:
        """Restart timeout and limit of framing, for the body."""
        self.begin_request()

    def read_into(self, buffer: memoryview) -> int:
        """Read frames; raises TooSlow, Unexpected, TransportError."""
        count = self._receive(buffer)
        self._look_at_frames(buffer[:count])
        return count

    def write(self, data: bytes | memoryview) -> None:
        """Send; raises TooSlow, TransportError. It does not extend the timeout."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._send(rest):]
