"""Requests through the docker SDK, each on a thread of its own, so that the caller can stop waiting.

The libraries below the SDK restart their timeout with each byte of a TLS handshake, a proxy's answer, a header or a
chunk's size, and read interim answers without limit. These have no deadline, and cannot be interrupted on their thread.
"""
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from occystrap_core.files import CHUNK, Patience

if TYPE_CHECKING:
    from requests import Response

LEAST_RATE = 1024.0
"""Bytes a second that the body of a short answer must have at least."""
_PIECES = 8
"""Number of pieces that wait to be read, which bounds the memory."""
_LOOK = 0.1
"""Seconds between checks of whether the answer is still wanted."""


class PatientAnswer:
    """The answer to one request: its head must arrive within the time of `patience`, its body at a minimum rate."""

    def __init__(self, send: Callable[[], 'Response'], patience: Patience) -> None:
        """`send` sends the request with `stream=True`; raises what it raises, and TimeoutError."""
        self._send, self._patience = send, patience
        self._found: queue.Queue[int | bytes | BaseException] = queue.Queue(_PIECES)
        self._unwanted = threading.Event()
        self._response: 'Response | None' = None
        self._rest: memoryview | None = memoryview(b'')
        """What was received and not yet read; None after the end."""
        threading.Thread(target=self._run, name='docker request', daemon=True).start()
        try:
            status = self._next()
        except BaseException:
            self.close()
            raise
        assert isinstance(status, int)
        self.status = status

    def begin_body(self) -> None:
        """Give the body the full patience, however long the head has taken."""
        self._patience.renew()

    def read(self, amount: int, /) -> bytes:
        """Return up to `amount` bytes of the rest, fewer at the end only; raises TimeoutError, and the SDK's errors."""
        read = bytearray()
        while piece := self._piece(amount - len(read)):
            read += piece
        return bytes(read)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`, completely except at the end; return the number of bytes; raises as `read`."""
        count = 0
        while piece := self._piece(len(buffer) - count):
            buffer[count:count + len(piece)] = piece
            count += len(piece)
        return count

    def close(self) -> None:
        """Discard the rest: the thread ends, at the latest with the run if it waits for a head."""
        self._unwanted.set()
        if self._response is not None and self._rest is not None:
            shut_down(self._response)

    def _piece(self, most: int) -> memoryview:
        """Return some bytes; none at the end, or if `most` is 0."""
        if self._rest is None or not most:
            return memoryview(b'')
        if not self._rest:
            found = self._next()
            assert isinstance(found, bytes)
            self._patience.gained(len(found))
            self._rest = memoryview(found) if found else None
            return self._piece(most)
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    def _next(self) -> int | bytes:
        """Return the next piece from the thread; raises its error, or TimeoutError."""
        begun = time.monotonic()
        try:
            found = self._found.get(timeout=self._patience.left)
        except queue.Empty:
            raise TimeoutError from None
        finally:
            self._patience.spent(time.monotonic() - begun)
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self) -> None:
        """Send the request and pass on status and body; runs on the thread."""
        try:
            with closing(self._send()) as response:
                self._response = response
                self._hand_on(response.status_code)
                while not self._unwanted.is_set() and (piece := response.raw.read1(CHUNK)):
                    self._hand_on(piece)
            self._hand_on(b'')
        except BaseException as error:  # raised again in the thread that reads
            self._hand_on(error)

    def _hand_on(self, found: int | bytes | BaseException) -> None:
        while not self._unwanted.is_set():
            with suppress(queue.Full):
                self._found.put(found, timeout=_LOOK)
                return


def shut_down(response: 'Response') -> None:
    """Shut the connection of an answer down, which ends a read on another thread; closing does not."""
    connection = getattr(response.raw, 'connection', None)
    sock = getattr(connection, 'sock', None)
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)
