"""The limit of requests per second to a server."""
import threading
import time

from occystrap_core import Settings
from occystrap_s3.bucket.connection import Connection


class RequestRate:
    """Spaces the requests of a run as `Settings.rate_limit` requires."""

    def __init__(self) -> None:
        self._next, self._lock = 0.0, threading.Lock()

    def seconds(self, rate: float) -> float:
        """Return in how many seconds the next request may begin."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + 1 / rate
        return turn - now


def wait_for_turn(connection: Connection, settings: Settings) -> None:
    """Wait until the next request may begin; raises Cancelled."""
    if settings.rate_limit:
        settings.cancellation.wait(
            settings.shared.lasting.get((RequestRate, connection), RequestRate).seconds(settings.rate_limit))
