"""What all clients of a run know of a host: how it is to be spoken to, how often, and by how many at once."""
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from occystrap_core import Settings
from occystrap_registry.transport.http_library import httpx

_CROWD = 64
"""Small requests to one host at once. Blobs are not counted: `Settings.jobs` is their limit, and one that is sent may
be read from the same host meanwhile, so that waiting for each other could be for ever."""


@dataclass
class Endpoint:
    """A registry's host: what one client found out is known to all of the run.

    `largest` is how many bytes of a body it may take at once, after it refused more.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    crowd: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_CROWD))
    base: httpx.URL | None = None
    answered: bool = False
    largest: float = float('inf')

    @classmethod
    def of(cls, host: str, insecure: bool, settings: Settings) -> 'Endpoint':
        """Return what the run knows of `host[:port]`."""
        return settings.shared.get((Endpoint, host, insecure), cls)

    def refused(self, size: int) -> None:
        """Take note that a body of so many bytes was too large: one of a quarter of it may not be."""
        self.largest = min(self.largest, size // 4)


class Pace:
    """Lets no more than `rate` requests a second begin."""

    def __init__(self, rate: float, wait: Callable[[float], None]) -> None:
        """`wait` sleeps so many seconds, or raises when the run is to stop."""
        self._interval, self._wait = 1 / rate, wait
        self._next = 0.0
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Wait until it is one's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._wait(turn - now)


def keep_pace(host: str, settings: Settings) -> None:
    """Wait as `Settings.rate_limit` asks before a request to `host[:port]`."""
    rate = settings.rate_limit
    if rate:
        settings.shared.get((Pace, host), lambda: Pace(rate, settings.cancellation.wait)).keep()
