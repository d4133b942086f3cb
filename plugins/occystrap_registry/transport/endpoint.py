"""What the clients of a run know about a host: its scheme, its limits, and the rate of requests."""
import threading
import time
from collections.abc import Callable, Sequence

from occystrap_core import ServiceError, Settings
from occystrap_registry.transport.url import URL

_CROWD = 64
"""Limit of concurrent small requests to one host. Blobs do not count: `Settings.jobs` limits them, and a blob that is
being sent may be read from the same host, so that counting both could cause a deadlock."""


class Endpoint:
    """Facts about a registry's host, found by one client, for all clients of the run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.crowd = threading.BoundedSemaphore(_CROWD)
        self.base: URL | None = None
        self.answered = False
        self.odd: ServiceError | None = None
        """Why its answer to `/v2/` is not a registry's; it is not requested again then."""
        self.largest = float('inf')
        """The limit in bytes of a body, after a larger one was refused."""
        self.heads_blobs = True
        """Whether HEAD of a blob gives usable answers."""
        self.refused_ways: set[str] = set()
        """Ways of sending a blob that it refused while another way worked."""
        self.challenges: Sequence[str] | None = None
        """WWW-Authenticate of its `/v2/` for anonymous clients; None until it was requested."""
        self.first_manifest = threading.Lock()
        """Held for pushing the first manifest of an unknown media type."""
        self.known_types: set[str] = set()
        """Media types of manifests and indexes that were pushed, unchanged or in another form."""
        self.refused_types: set[str] = set()
        """Media types that the registry refused while it accepted the other form."""

    @classmethod
    def of(cls, host: str, insecure: bool, settings: Settings) -> 'Endpoint':
        """Return the run's record of `host[:port]`."""
        return settings.shared.lasting.get((Endpoint, host, insecure), cls)

    def refused(self, size: int) -> None:
        """Record that a body of `size` bytes was too large; a quarter of that is tried next."""
        self.largest = min(self.largest, size // 4)


class Pace:
    """Limits requests to `rate` per second."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0
        self._lock = threading.Lock()

    def keep(self, wait: Callable[[float], None]) -> None:
        """Wait until the next request may begin; `wait` sleeps for a number of seconds, and raises if the run is
        cancelled."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            wait(turn - now)


class Pause:
    """The end of a pause without requests, for a host that asked for fewer."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def begin(self, seconds: float) -> None:
        """Extend the pause to at least `seconds` from now."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """The seconds until its end; negative after it."""
        return self._until - time.monotonic()


def pause_all(host: str, seconds: float, settings: Settings) -> None:
    """Make every request to `host[:port]` wait, after one was refused because there were too many."""
    settings.shared.lasting.get((Pause, host), Pause).begin(min(seconds, settings.longest_wait))


def keep_pace(host: str, settings: Settings) -> None:
    """Wait before a request to `host[:port]`: until its pause is over, and as `Settings.rate_limit` requires."""
    if (left := settings.shared.lasting.get((Pause, host), Pause).left) > 0:
        settings.cancellation.wait(left)
    rate = settings.rate_limit
    if rate:
        settings.shared.lasting.get((Pace, host), lambda: Pace(rate)).keep(settings.cancellation.wait)
