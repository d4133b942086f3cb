"""Retries of requests: how many, and the waits between them."""
import random
from collections.abc import Callable
from typing import TypeVar

from occystrap_core import Settings
from occystrap_s3.bucket.failures import code_of, may_pass

T = TypeVar('T')
_FIRST = 0.25


class Attempts:
    """The attempts at one request or one body; progress restarts the count."""

    def __init__(self, settings: Settings, server: str) -> None:
        """`server` is its address, for messages."""
        self._settings, self._server, self._failed = settings, server, 0

    def again(self, error: Exception) -> bool:
        """Return whether to try again after a failure; if so, wait first. Raises Cancelled."""
        limited = code_of(error) == 'SlowDown'
        self._settings.requests.asked(self._server, refused=limited)
        if not may_pass(error) or self._failed >= self._settings.retries:
            return False
        self._settings.requests.count(retries=not limited, rate_limits=limited)
        seconds = _FIRST * 2 ** min(self._failed, 16) * random.uniform(0.5, 1.5)
        self._failed += 1
        self._settings.cancellation.wait(min(seconds, self._settings.longest_wait))
        return True

    def progressed(self) -> None:
        """Restart the count, since bytes were moved."""
        self._failed = 0

    def of(self, send: Callable[[], T]) -> T:
        """Return the result of `send`; raises the exception of its last attempt, Cancelled."""
        while True:
            self._settings.cancellation.check()
            self._settings.requests.count(requests=1)
            self._settings.requests.asked(self._server)
            try:
                return send()
            except Exception as error:
                if not self.again(error):
                    raise
