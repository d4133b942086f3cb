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


class LocalConnection(http.client.HTTPConnection):
    """A connection for one request.

    HTTP/1.0 has the body come as it is, up to the end of the connection (RFC 1945, section 7.2.2), without the chunks
    of 32 KiB that daemons cut it into otherwise. Whether an export is whole its own end shows: a tar has one, too.
    """

    _http_vsn = 10
    _http_vsn_str = 'HTTP/1.0'

    def __init__(self, path: str, patience: Patience) -> None:
        """`patience` is what the daemon at `path` is to be had with."""
        super().__init__('localhost', timeout=patience.seconds)
        self._path = path
        self.socket = PatientSocket(patience)

    def connect(self) -> None:
        """Connect; raises OSError."""
        self.sock = self.socket
        self.sock.settimeout(self.timeout)
        end = time.monotonic() + (self.timeout or 0)
        try:
            while True:
                try:
                    return self.sock.connect(self._path)
                except BlockingIOError:  # more connections wait than the daemon's queue has room for (unix(7))
                    if time.monotonic() > end:
                        raise TimeoutError from None
                    time.sleep(_LOOK)
        except OSError:
            self.close()
            raise


def get(path: str, url: str, seconds: float, least_rate: float = 0.0) -> Answer:
    """Return the daemon's answer to GET `url` at the socket `path`; raises OSError, http.client.HTTPException.

    It may be silent, or take for the header, `seconds`; bytes of the body come at `least_rate` a second at least.
    """
    connection = LocalConnection(path, Patience(seconds, least_rate))
    try:
        connection.request('GET', url, headers={'Connection': 'close'})
        answer = connection.getresponse()
    except BaseException:
        connection.close()
        raise
    connection.socket.begin_body()
    return answer
