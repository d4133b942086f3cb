"""Hosts that do not answer: after several failed operations in a row, further ones do not use all their attempts."""
import threading
import time

from occystrap_core import Settings
from occystrap_registry.transport.transport_errors import ConnectError

_IN_A_ROW = 3
"""Number of operations in a row that must fail, each after all its attempts, without any other answer of the host."""
_PAUSE = 30.0
"""Seconds between attempts at a host where requests time out."""
_FOR_A_DEAD_HOST = (502, 503, 504)
"""Answers of proxies for a host that is down (RFC 9110, 15.6): they do not count as answers of the host."""


class NotAsked(ConnectError):
    """A request was not sent, since its host has not answered for long."""


class Silence:
    """The state of a host that does not answer, or is down behind a proxy, for all clients of a run; any other answer
    ends it.

    Meanwhile each operation has one attempt, without a wait, so that a host is used as soon as it is back. If attempts
    time out, only one is made in a while, and other operations fail at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._reason = ''
        self._next = 0.0

    @classmethod
    def of(cls, host: str, settings: Settings) -> 'Silence':
        """Return the run's record of `host[:port]`."""
        return settings.shared.lasting.get((Silence, host.lower()), cls)

    @property
    def lasts(self) -> bool:
        """Whether the host has been silent for so long that operations have a single attempt."""
        return self._in_a_row >= _IN_A_ROW

    def require_attempt(self) -> None:
        """Raise NotAsked if the host timed out a short while ago; else permit one attempt."""
        with self._lock:
            now = time.monotonic()
            if self.lasts and now < self._next:
                raise NotAsked(f'{self._reason}; not tried again: the last {self._in_a_row} requests had no answer')
            if self._next:
                self._next = now + _PAUSE

    def gave_up(self, status: int) -> None:
        """Record that an operation ended with this status after its last attempt."""
        if status in _FOR_A_DEAD_HOST:
            self.unanswered(f'HTTP {status}', timed_out=False)

    def unanswered(self, reason: str, timed_out: bool) -> None:
        """Record that an operation ended without an answer; `reason` is for the messages of later operations."""
        with self._lock:
            self._in_a_row += 1
            self._reason = reason
            self._next = time.monotonic() + _PAUSE if timed_out else 0.0

    def answered(self, status: int) -> None:
        """Record that the host has answered with this status."""
        if self._in_a_row and status not in _FOR_A_DEAD_HOST:
            with self._lock:
                self._in_a_row, self._next = 0, 0.0
