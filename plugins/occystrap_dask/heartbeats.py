"""Notices workers that have frozen: the scheduler hears nothing from them, and may not say so for a long time."""
import time
from collections.abc import Callable, Iterable, Mapping

_MOST = 1.0
"""At most so many seconds between two looks count: in a longer time the scheduler, which hears the workers, was silent
itself."""


class Heartbeats:
    """For how long each worker is silent, by our own clock, since that of the scheduler's machine may be wrong."""

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`longest`: seconds of silence that are allowed."""
        self._longest, self._clock = longest, clock
        self._looked = clock()
        self._seen: dict[str, tuple[float, float]] = {}
        """For each worker the scheduler's time of its last heartbeat, and for how long that is the last one."""

    def frozen(self, workers: Mapping[str, float]) -> Iterable[str]:
        """Return the workers that are silent for too long, given the scheduler's times of their last heartbeats."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, _MOST), now
        self._seen = {worker: (last, self._silence(worker, last, passed)) for worker, last in workers.items()}
        return [worker for worker, (_, silent) in self._seen.items() if silent > self._longest]

    def _silence(self, worker: str, last: float, passed: float) -> float:
        before, silent = self._seen.get(worker, (None, 0.0))
        return silent + passed if before == last else 0.0
