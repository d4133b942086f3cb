"""The latest images of a registry or a proxy, for its status page; kept in memory only."""
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

STORED, VERIFIED, UNVERIFIED, FAILED = 'stored', 'verified', 'unverified', 'failed'
"""The results: stored here, verified downstream, not verified there, and failed."""
_MOST = 500


class RecentImage(NamedTuple):
    """One image that was processed."""

    name: str
    """As clients name it: `team/app:v1`, or `team/app@sha256:…`."""
    reference: str = ''
    """Where it was stored, if elsewhere: `registry.example/team/app:v1`."""
    digest: str = ''
    """The digest of its manifest as stored; empty if it was not stored."""
    direction: str = 'push'
    """`push` or `pull`."""
    filters: Sequence[str] = ()
    outcome: str = STORED
    size: int = 0
    """Bytes of its layers."""
    seconds: float = 0.0
    """How long it took, in seconds."""
    reason: str = ''
    """Why it failed, or notes."""
    when: float = 0.0
    """When it ended, in seconds since 1970."""

    @property
    def has_failed(self) -> bool:
        """Whether it is missing at its destination, or not verified there."""
        return self.outcome in (UNVERIFIED, FAILED)


class RecentImages:
    """The latest images, for several threads; failed ones are kept longer, however many others follow."""

    def __init__(self, most: int = _MOST) -> None:
        self._done: deque[tuple[int, RecentImage]] = deque(maxlen=most)
        self._failed: deque[tuple[int, RecentImage]] = deque(maxlen=most)
        self._totals: Counter[tuple[str, str]] = Counter()
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """The total number of images so far; a client that has seen this number is up to date."""
        return self._count

    def add(self, image: RecentImage) -> None:
        """Add an image; the oldest of its kind is dropped if there are too many."""
        with self._lock:
            self._count += 1
            self._totals[image.direction, image.outcome] += 1
            (self._failed if image.has_failed else self._done).append((self._count, image))

    def totals(self) -> Mapping[tuple[str, str], int]:
        """Return the total numbers of images, by direction and result."""
        with self._lock:
            return {**self._totals}

    def newest(self) -> list[RecentImage]:
        """Return the images that are kept, the newest first."""
        with self._lock:
            return [image for _, image in sorted([*self._done, *self._failed], reverse=True)]
