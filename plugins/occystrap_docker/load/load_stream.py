"""An archive on its way into a daemon: written piece by piece on one side, sent by a thread of its own on the other."""
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
"""How many pieces may wait to be sent: as much memory as a copy may take for it."""
_LOOK = 0.1
"""Seconds between two looks at whether there is still any use in waiting."""


class LoadStream:
    """One request to load an archive, begun when this is made."""

    def __init__(self, daemon: Daemon, check: Callable[[], None]) -> None:
        """`check` raises when the run is to stop."""
        self._daemon, self._check = daemon, check
        self._sent = 0
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES)
        self._given_up = threading.Event()
        self._whole = False
        self._loaded: Future[Digest] = Future()
        self._thread = threading.Thread(target=self._send, name='load', daemon=True)
        self._thread.start()

    def write(self, piece: bytes | memoryview) -> None:
        """Send a piece, not empty, when its turn comes; raises what hinders it."""
        self._put(bytes(piece))

    def finish(self) -> Digest:
        """Say that this was all, and return the ID of what the daemon made of it; raises what hinders it.

        Only now is it known how much there is to unpack, and for how long the daemon may be silent over it.
        """
        self._put(b'')
        self._whole = True
        end = time.monotonic() + self._daemon.patience(self._sent)
        with translated(self._daemon.address, LOADING):
            while not self._loaded.done():
                self._check()
                if time.monotonic() > end:
                    raise TimeoutError
                self._thread.join(_LOOK)
        return self._loaded.result()

    @property
    def refused(self) -> bool:
        """Whether the daemon has said that it makes no image of the archive."""
        error = self._loaded.exception() if self._loaded.done() else None
        return error is not None and not isinstance(error, ServiceError)

    def give_up(self) -> None:
        """Break the request off, so that the daemon forgets what it got; what it has whole it does not forget."""
        self._given_up.set()
        if not self._whole:
            self._thread.join(1)

    def _put(self, piece: bytes) -> None:
        while not self._loaded.done():
            self._check()
            try:
                self._pieces.put(piece, timeout=_LOOK)
                return
            except queue.Full:
                continue
        self._loaded.result()
        raise ServiceUnavailable('the daemon answered before it had all of the image: see its log, then try again')

    def _send(self) -> None:
        try:
            self._loaded.set_result(self._daemon.load(self._all_pieces()))
        except BaseException as error:  # whoever waits gets it
            self._loaded.set_exception(error)

    def _all_pieces(self) -> Iterator[bytes]:
        while True:
            if self._given_up.is_set():
                raise Cancelled('the archive was given up')
            try:
                piece = self._pieces.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if not piece:
                return
            yield piece
            self._sent += len(piece)
