"""Reading from a daemon at a Unix socket with nothing but the standard library.

To import the docker SDK takes a quarter of a second, during which the daemon could already prepare an export, and the
SDK's way to an answer's bytes takes as much processor time as hashing them.
"""
import http.client
import socket
import time
from typing import Protocol


_LOOK = 0.02


class Answer(Protocol):
    """An answer to a GET request, as both `http.client` and urllib3 have it."""

    status: int

    def read(self) -> bytes:
        """Return all that is left."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`, wholly except at the end; return the number of bytes, 0 at the end."""

    def close(self) -> None:
        """Hang up."""


class LocalConnection(http.client.HTTPConnection):
    """A connection for one request.

    HTTP/1.0 has the body come as it is, up to the end of the connection (RFC 1945, section 7.2.2), without the chunks
    of 32 KiB that daemons cut it into otherwise. Whether an export is whole its own end shows: a tar has one, too.
    """

    _http_vsn = 10
    _http_vsn_str = 'HTTP/1.0'

    def __init__(self, path: str, seconds: float) -> None:
        """The socket at `path` may be silent for `seconds`."""
        super().__init__('localhost', timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect; raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
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


def get(path: str, url: str, seconds: float) -> Answer:
    """Return the daemon's answer to GET `url` at the socket `path`; raises OSError, http.client.HTTPException."""
    connection = LocalConnection(path, seconds)
    try:
        connection.request('GET', url, headers={'Connection': 'close'})
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise
