"""An archive that is streamed into a daemon: written piece by piece here, sent by a thread of its own."""
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from occystrap_core import Cancelled, ServiceError, ServiceUnavailable
from occystrap_core.oci import Digest
from occystrap_docker.connection.failures import translated
from occystrap_docker.daemon.daemon import LOADING, Daemon

_PIECES = 4
"""Number of pieces that wait to be sent, which bounds the memory."""
_LOOK = 0.1
"""Seconds between checks for cancellation."""


class LoadStream:
    """One request to load an archive, sent from the constructor on."""

    def __init__(self, daemon: Daemon, check: Callable[[], None]) -> None:
        """`check` raises when the run is cancelled."""
        self._daemon, self._check = daemon, check
        self._sent = 0
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES)
        self._given_up = threading.Event()
        self._whole = False
        self._loaded: Future[Digest] = Future()
        self._thread = threading.Thread(target=self._send, name='load', daemon=True)
        self._thread.start()

    def write(self, piece: bytes | memoryview) -> None:
        """Queue a piece, not empty, for sending; raises the error of the request."""
        self._put(bytes(piece))

    def finish(self) -> Digest:
        """End the archive and return the ID of the loaded image; raises the error of the request.

        The timeout depends on the size of the archive, which is known only now.
        """
        self._put(b'')
        self._whole = True
        end = time.monotonic() + self._daemon.patience(self._sent)
        while not self._loaded.done():
            self._check_time(end)
            self._thread.join(_LOOK)
        return self._loaded.result()

    @property
    def refused(self) -> bool:
        """Whether the daemon has reported that it refuses the archive."""
        error = self._loaded.exception() if self._loaded.done() else None
        return error is not None and not isinstance(error, ServiceError)

    def give_up(self) -> None:
        """Cancel the request, so that the daemon drops what it received; it may still load a complete archive."""
        self._given_up.set()
        if not self._whole:
            self._thread.join(1)

    def _check_time(self, end: float) -> None:
        """Raise if the run is cancelled, or `end` has passed."""
        self._check()
        with translated(self._daemon.address, LOADING):
            if time.monotonic() > end:
                raise TimeoutError

    def _put(self, piece: bytes) -> None:
        """Queue a piece; the daemon must accept one within the timeout."""
        end = time.monotonic() + self._daemon.patience(0)
        while not self._loaded.done():
            self._check_time(end)
            try:
                self._pieces.put(piece, timeout=_LOOK)
                return
            except queue.Full:
                continue
        self._loaded.result()
        raise ServiceUnavailable('the daemon answered before it received all of the image: see its log, then try again')

    def _send(self) -> None:
        try:
            self._loaded.set_result(self._daemon.load(self._all_pieces()))
        except BaseException as error:  # raised again by `finish` and `write`
            self._loaded.set_exception(error)

    def _all_pieces(self) -> Iterator[bytes]:
        while True:
            if self._given_up.is_set():
                raise Cancelled('the load was cancelled')
            try:
                piece = self._pieces.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if not piece:
                return
            yield piece
            self._sent += len(piece)
