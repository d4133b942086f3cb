"""HTTP/1.1 messages as a relay sees them: a head to read and change, a body passed on piece by piece.

Follows RFC 9112 sections 6 and 7; whoever speaks through it is a well-behaved client or registry.
"""
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 256 * 1024
Wire = Callable[[memoryview], None]


class Gone(Exception):
    """The other side closed the connection, or the relay was told to stop here."""


@dataclass
class Head:
    """A start line and header lines, without line ends."""

    start: bytes
    lines: list[bytes]

    def value(self, name: bytes) -> bytes:
        """The header's value, empty if there is none."""
        for line in self.lines:
            found, _, value = line.partition(b':')
            if found.strip().lower() == name:
                return value.strip()
        return b''

    def without(self, *names: bytes) -> 'Head':
        """The same head without some headers (in lower case)."""
        return Head(self.start, [line for line in self.lines if line.partition(b':')[0].strip().lower() not in names])

    def wire(self) -> bytes:
        """The bytes to send."""
        return b'\r\n'.join([self.start, *self.lines, b'', b''])

    @property
    def length(self) -> int | None:
        """The body's bytes; None when it is chunked, or ends with the connection."""
        if self.value(b'transfer-encoding').lower() == b'chunked':
            return None
        length = self.value(b'content-length')
        return int(length) if length else None

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.value(b'transfer-encoding').lower() == b'chunked'


class Side:
    """One connection of a relay: reads heads and bodies, writes bytes."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._reader: BinaryIO = connection.makefile('rb', buffering=64 * 1024)
        self._buffer = memoryview(bytearray(PIECE))

    def send(self, data: bytes | memoryview) -> None:
        """Write all of it; raises OSError when the other side is gone."""
        self._connection.sendall(data)

    def head(self) -> Head:
        """Read a head; raises Gone at a clean end, and where it is none, such as the greeting of TLS."""
        start = self._line()
        if b'HTTP/' not in start:
            raise Gone
        lines = []
        while line := self._line():
            lines.append(line)
        return Head(start, lines)

    def body(self, head: Head, to: Wire, until_closed: bool = False) -> None:
        """Pass a body on to `to`, framing included; without a length only with `until_closed` is there one."""
        if head.chunked:
            self._chunks(to)
        elif head.length is not None:
            self._exactly(head.length, to)
        elif until_closed:
            while size := self._reader.readinto1(self._buffer):  # type: ignore[attr-defined]
                to(self._buffer[:size])

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._connection.close()

    def interrupt(self) -> None:
        """Wake a thread that waits for this connection; that thread closes it."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already

    def _exactly(self, size: int, to: Wire) -> None:
        while size:
            got: int = self._reader.readinto1(self._buffer[:size])  # type: ignore[attr-defined]
            if not got:
                raise Gone
            to(self._buffer[:got])
            size -= got

    def _chunks(self, to: Wire) -> None:
        size = 1
        while size:
            line = self._line()
            size = int(line.partition(b';')[0], 16)
            to(memoryview(line + b'\r\n'))
            self._exactly(size, to)
            to(memoryview(self._line() + b'\r\n'))

    def _line(self) -> bytes:
        line = self._reader.readline(64 * 1024)
        if line and not line.endswith(b'\n'):
            raise Gone
        return line.rstrip(b'\r\n')
