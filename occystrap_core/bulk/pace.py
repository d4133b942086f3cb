"""How many images are at work at once: fewer while services refuse because of too many requests (429)."""
import time
from collections.abc import Callable

_ONCE = 1.0
"""Seconds in which refusals count as one, since they come together."""


class Pace:
    """Up to `most` images; half as many after a refusal, and again one more with every answer without one."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._slowed = clock() - _ONCE
        self.slots = most

    def answered(self, refused: bool) -> None:
        """Take notice of whether some request for an image was refused."""
        if not refused:
            self.slots = min(self._most, self.slots + 1)
        elif self._clock() - self._slowed >= _ONCE:
            self._slowed, self.slots = self._clock(), max(1, self.slots // 2)
