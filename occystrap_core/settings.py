"""What holds for a whole run: the same object reaches every input, filter, writer and verifier."""
import os
import tempfile
import threading
from dataclasses import dataclass, field

from occystrap_core.errors import Cancelled
from occystrap_core.oci.platform import Platform
from occystrap_core.verification.levels import VerifyLevel


@dataclass
class RequestStats:
    """Counts what a network client did; shared by all threads of a run."""

    requests: int = 0
    retries: int = 0
    rate_limits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, requests: int = 0, retries: int = 0, rate_limits: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.rate_limits += rate_limits


class Cancellation:
    """Set once, by a signal or a failed layer, and looked at by whoever moves bytes."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask all threads of the run to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled when the run was asked to stop."""
        if self._event.is_set():
            raise Cancelled('interrupted')

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up and raise Cancelled when the run is asked to stop."""
        if self._event.wait(seconds):
            raise Cancelled('interrupted')


def default_jobs() -> int:
    """Return how many layers to move at once: three on small machines, one a core up to eight on larger ones."""
    return min(8, max(3, len(os.sched_getaffinity(0))))


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    `jobs`: layers at once. `sync`: flush to the device before anything becomes visible. `verify`: how much is checked,
    of what a writer finds at the destination too. `timeout`: seconds that a server may stay silent. `retries`: how
    often a failed request is tried again. `platform`: what to take of an index, None for this machine's. `temporary`:
    folder for spooled data. `credentials`: user and password by host[:port], as given in URIs and options; in memory
    alone, so that the verifier of the same run has them and no receipt does.
    """

    jobs: int = field(default_factory=default_jobs)
    sync: bool = True
    verify: VerifyLevel = VerifyLevel.FAST
    timeout: float = 60.0
    retries: int = 4
    platform: Platform | None = None
    temporary: str = field(default_factory=tempfile.gettempdir)
    debug: bool = False
    credentials: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    requests: RequestStats = field(default_factory=RequestStats)
    cancellation: Cancellation = field(default_factory=Cancellation)
