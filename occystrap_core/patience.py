"""A limit for the time that a slow or silent peer may take."""


class Patience:
    """The seconds left for waiting for a server; bytes of a body add to them, one second for each `rate` bytes."""

    LEAST = 0.001
    """Seconds that a wait may take when none are left: data that is already there is still taken."""
    _SILENCE = 0.9

    def __init__(self, seconds: float, rate: float) -> None:
        """With `rate` 0 there is no least speed, only the limit of `seconds` for each wait."""
        self.seconds, self.rate = seconds, rate
        self.renew()

    def renew(self) -> None:
        """Start again: earlier slowness no longer counts."""
        self.left, self._gained = self.seconds, 0

    def spent(self, seconds: float) -> None:
        """Subtract seconds that were spent waiting."""
        if self.rate:
            self.left = max(self.left - seconds, self.LEAST)

    def gained(self, count: int) -> None:
        """Add the time for `count` bytes of a body."""
        self._gained += count
        if self._gained >= self.rate * self.seconds:
            self.renew()

    def is_silence(self, left: float) -> bool:
        """Return whether a wait that used up `left` was long enough for the server to be silent, not slow."""
        return left > self._SILENCE * self.seconds
