"""Reading from a daemon at a Unix socket with the standard library only.

Importing the docker SDK takes a quarter of a second, in which the daemon could already prepare an export, and reading
a body through the SDK takes as much processor time as hashing it.
"""
import http.client
import socket
import time
from typing import Any, Protocol

from occystrap_core.files import Patience

_RETRY = 0.02
"""Seconds between attempts to connect."""
_HEAD = 256 << 10
"""Limit in bytes of what comes before a body, interim answers and read-ahead included."""


class Answer(Protocol):
    """An answer to a GET request: what answers of `http.client` and urllib3 have in common."""

    status: int

    def read(self, amount: int, /) -> bytes:
        """Return up to `amount` bytes of the rest."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`, completely except at the end; return the number of bytes, 0 at the end."""

    def close(self) -> None:
        """Close the connection."""


class PatientSocket(socket.socket):
    """A Unix socket whose peer must finish the header of its answer in time, and send the body at a minimum rate."""

    def __init__(self, patience: Patience) -> None:
        super().__init__(socket.AF_UNIX)
        self._patience, self._until = patience, time.monotonic() + patience.seconds
        self._in_head, self._head = True, 0

    def begin_body(self) -> None:
        """Note that the header was read."""
        self._in_head = False

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive; raises TimeoutError, and HTTPException for a header that is too long."""
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
            raise http.client.HTTPException(f'the header of its answer exceeds {_HEAD >> 10} KiB')


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
            time.sleep(_RETRY)
