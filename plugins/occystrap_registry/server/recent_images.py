"""The images that a registry or a proxy has processed of late: what a status page shows, in memory alone."""
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

STORED, VERIFIED, UNVERIFIED, FAILED = 'stored', 'verified', 'unverified', 'failed'
"""The outcomes: stored here, proved to be downstream, not proved to be there, and failed."""
_MOST = 500


class RecentImage(NamedTuple):
    """One image that was processed."""

    name: str
    """As clients name it here: `team/app:v1`, or `team/app@sha256:…`."""
    reference: str = ''
    """Where it was stored, if that is elsewhere: `registry.example/team/app:v1`."""
    digest: str = ''
    """That of its manifest as it was stored; empty if it was not."""
    direction: str = 'push'
    """`push` or `pull`."""
    filters: Sequence[str] = ()
    outcome: str = STORED
    size: int = 0
    """Bytes of its layers."""
    seconds: float = 0.0
    """How long it took."""
    reason: str = ''
    """Why it failed, and notes otherwise."""
    when: float = 0.0
    """When that ended, as time.time()."""

    @property
    def has_failed(self) -> bool:
        """Whether it is not where it should be, or not proved to be."""
        return self.outcome in (UNVERIFIED, FAILED)


class RecentImages:
    """The last images, for several threads; those that failed stay longer, however many others come."""

    def __init__(self, most: int = _MOST) -> None:
        self._done: deque[tuple[int, RecentImage]] = deque(maxlen=most)
        self._failed: deque[tuple[int, RecentImage]] = deque(maxlen=most)
        self._totals: Counter[tuple[str, str]] = Counter()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many there were in all; a client that has seen that many has seen everything."""
        return self._count

    def add(self, image: RecentImage) -> None:
        """Add one; the oldest of its kind goes if there are too many."""
        with self._lock:
            self._count += 1
            self._totals[image.direction, image.outcome] += 1
            (self._failed if image.has_failed else self._done).append((self._count, image))

    def totals(self) -> Mapping[tuple[str, str], int]:
        """Return how many images there were in all, by direction and outcome."""
        with self._lock:
            return {**self._totals}

    def newest(self) -> list[RecentImage]:
        """Return those that are kept, the newest first."""
        with self._lock:
            return [image for _, image in sorted([*self._done, *self._failed], reverse=True)]
