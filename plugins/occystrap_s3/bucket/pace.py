"""The minimum rate of a body, in either direction, and the cancellation of a run."""
import time

from occystrap_core import Settings
from occystrap_core.files import Patience
from occystrap_s3.bucket.failures import TooSlow


class Pace:
    """Supervises a body: raises TooSlow if the server is below the minimum rate, Cancelled if the run ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._patience = Patience(settings.timeout, settings.least_rate)
        self._since = 0.0

    def begin(self) -> None:
        """Start measuring: from now on the server determines the pace."""
        self._settings.cancellation.check()
        self._since = time.monotonic()

    def moved(self, count: int) -> None:
        """Record that `count` bytes were moved since `begin`."""
        self._patience.spent(time.monotonic() - self._since)
        self._patience.gained(count)
        if self._settings.least_rate and self._patience.left <= Patience.LEAST:
            raise TooSlow(f'moves fewer than {self._settings.least_rate:.0f} bytes a second; try again later')
        self._settings.cancellation.check()
