"""How long a peer is waited for."""


class Patience:
    """The seconds that a server may be waited for; bytes of a body earn them anew, `rate` of them a second."""

    LEAST = 0.001
    """Seconds that one may wait even when there are none left: what is there already is taken."""
    _SILENCE = 0.9

    def __init__(self, seconds: float, rate: float) -> None:
        """With `rate` 0 bytes may come as slowly as they like, each within `seconds`."""
        self.seconds, self.rate = seconds, rate
        self.renew()

    def renew(self) -> None:
        """Begin anew: what was slow before does not count any more."""
        self.left, self._gained = self.seconds, 0

    def spent(self, seconds: float) -> None:
        """Take note of seconds in which nothing was done but wait."""
        if self.rate:
            self.left = max(self.left - seconds, self.LEAST)

    def gained(self, count: int) -> None:
        """Take note of bytes of a body."""
        self._gained += count
        if self._gained >= self.rate * self.seconds:
            self.renew()

    def is_silence(self, left: float) -> bool:
        """Tell whether a wait that took all that was `left` was so long that the server is silent, and not slow."""
        return left > self._SILENCE * self.seconds
