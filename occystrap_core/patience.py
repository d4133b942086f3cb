"""A time limit for waiting for a slow or silent peer."""


class Patience:
    """The time left for waiting for a server, in seconds; renewed after `rate` * `seconds` bytes of a body."""

    LEAST = 0.001
    """The shortest wait in seconds, when no time is left: data that has already arrived is still taken."""
    _SILENCE = 0.9

    def __init__(self, seconds: float, rate: float) -> None:
        """With `rate` 0 there is no minimum rate, and each wait is limited to `seconds`."""
        self.seconds, self.rate = seconds, rate
        self.renew()

    def renew(self) -> None:
        """Start again with the full time."""
        self.left, self._gained = self.seconds, 0

    def spent(self, seconds: float) -> None:
        """Subtract seconds that were spent waiting."""
        if self.rate:
            self.left = max(self.left - seconds, self.LEAST)

    def gained(self, count: int) -> None:
        """Count bytes of a body, which renew the time when there are enough."""
        self._gained += count
        if self._gained >= self.rate * self.seconds:
            self.renew()

    def is_silence(self, left: float) -> bool:
        """Return whether a wait that used up `left` seconds was so long that the server is silent, not slow."""
        return left > self._SILENCE * self.seconds
