"""Reading from a daemon at a Unix socket with nothing but the standard library.

To import the docker SDK takes a quarter of a second, during which the daemon could already prepare an export, and the
SDK's way to an answer's bytes takes as much processor time as hashing them.
"""
import http.client
import socket
import time
from typing import Any, Protocol

from occystrap_core.files import Patience

_LOOK = 0.02
_HEAD = 256 << 10
"""Most bytes before a body, with interim answers; what is read ahead of the body counts."""


class Answer(Protocol):
    """An answer to a GET request, as both `http.client` and urllib3 have it."""

    status: int

    def read(self, amount: int, /) -> bytes:
        """Return all that is left, or as many bytes."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`, wholly except at the end; return the number of bytes, 0 at the end."""

    def close(self) -> None:
        """Hang up."""


class PatientSocket(socket.socket):
    """A Unix socket whose peer has to get to the end of an answer's header in time, and send its body at a least rate.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__(socket.AF_UNIX)
        self._patience, self._until = patience, time.monotonic() + patience.seconds
        self._in_head, self._head = True, 0

    def begin_body(self) -> None:
        """Take note that the header was read."""
        self._in_head = False

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive; raises TimeoutError, and HTTPException for a header without end."""
        begun = time.monotonic()
        self.settimeout(max(self._until - begun, Patience.LEAST) if self._in_head else self._patience.left)
        try:
            count = super().recv_into(buffer, nbytes, flags)
        finally:
            self._patience.spent(time.monotonic() - begun)
        self._count(count)
        return count

    def _count(self, count: int) -> None:
        if not self._in_head:
            self._patience.gained(count)
            return
        self._patience.renew()
        self._head += count
        if self._head > _HEAD:
            raise http.client.HTTPException('the header of an answer has no end')


def get(path: str, url: str, seconds: float, least_rate: float = 0.0) -> Answer:
    """Return the daemon's answer to GET `url` at the socket `path`; raises OSError, http.client.HTTPException.

    The daemon may be silent, or take for the header, `seconds`; it must send at least `least_rate` bytes of the body a
    second. The request is HTTP/1.0: the body then comes as it is, up to the end of the connection (RFC 1945, 7.2.2),
    without the chunks of 32 KiB that daemons cut it into otherwise. A tar shows by its own end whether it is whole.
    """
    with PatientSocket(Patience(seconds, least_rate)) as connection:
        _connect(connection, path, seconds)
        connection.sendall(f'GET {url} HTTP/1.0\r\nConnection: close\r\n\r\n'.encode('ascii'))
        answer = http.client.HTTPResponse(connection, method='GET')  # holds the socket open until it is closed itself
        try:
            answer.begin()
        except BaseException:
            answer.close()
            raise
        connection.begin_body()
        return answer


def _connect(connection: socket.socket, path: str, seconds: float) -> None:
    """Connect, within `seconds`; raises OSError."""
    end = time.monotonic() + seconds
    connection.settimeout(seconds)
    while True:
        try:
            return connection.connect(path)
        except BlockingIOError:  # more connections wait than the daemon's queue has room for (unix(7))
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(_LOOK)
