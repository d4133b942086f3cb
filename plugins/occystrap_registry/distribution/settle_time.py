"""The time for which a registry may not show what was just written to it, since many are eventually consistent."""
import time

from occystrap_core import Settings

_FIRST, _LONGEST = 0.1, 2.0
"""Seconds to wait between looks: the first, doubled each time up to the second."""
NAMED = 2.0
"""Most seconds to wait for something at a source that another document refers to, which may just have been pushed."""


class SettleTime:
    """A period of `Settings.settle` seconds, which begins when this object is made."""

    def __init__(self, settings: Settings, most: float = float('inf')) -> None:
        """`most` limits the period, in seconds."""
        self._wait, self._seconds = settings.cancellation.wait, min(settings.settle, most)
        self._begun, self._pause = time.monotonic(), _FIRST

    @property
    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def again(self) -> bool:
        """Wait a little and return whether to look again, the last time at the end; raises Cancelled."""
        left = self._seconds - self.passed
        if left <= 0:
            return False
        self._wait(min(self._pause, left))
        self._pause = min(2 * self._pause, _LONGEST)
        return True
