"""Notices workers that have frozen: the scheduler hears nothing from them, and may not say so for a long time."""
import time


class Heartbeats:
    """When each worker was heard of, by our own clock, since that of the scheduler's machine may be wrong."""

    def __init__(self, longest: float) -> None:
        """`longest`: seconds of silence that are allowed."""
        self._longest = longest
        self._seen: dict[str, tuple[float, float]] = {}
        """For each worker the scheduler's time of its last heartbeat, and ours when we learned of it."""

    def is_frozen(self, worker: str, last: float) -> bool:
        """Return whether a worker is silent for too long, given the scheduler's time of its last heartbeat."""
        if self._seen.get(worker, (0.0, 0.0))[0] != last:
            self._seen[worker] = last, time.monotonic()
        return time.monotonic() - self._seen[worker][1] > self._longest
