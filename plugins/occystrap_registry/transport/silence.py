"""A host that does not answer: after several pieces of work in a row no further one waits for all attempts."""
import threading
import time

from occystrap_core import Settings
from occystrap_registry.transport.transport_errors import ConnectError

_IN_A_ROW = 3
"""So many pieces of work must have ended, each after all its attempts, without an answer to any other request."""
_PAUSE = 30.0
"""Seconds between attempts at a host that lets requests run into their timeout."""
_FOR_A_DEAD_HOST = (502, 503, 504)
"""Answers that a proxy gives for a host that is down (RFC 9110, 15.6): they end no silence."""


class NotAsked(ConnectError):
    """A host was not asked, since it has not answered for long."""


class Silence:
    """What the clients of a run know of a host that does not answer, or is not there behind a proxy; any other answer
    ends it.

    While it lasts, each piece of work has one attempt, without a wait, so that a host that is back is used at once. One
    that times out gets one attempt in a while, and the others fail at once.
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
        """Whether more than one attempt is not worth while."""
        return self._in_a_row >= _IN_A_ROW

    def require_attempt(self) -> None:
        """Raise NotAsked if the host timed out a short while ago; else it may be asked once."""
        with self._lock:
            now = time.monotonic()
            if self.lasts and now < self._next:
                raise NotAsked(f'{self._reason}; not tried again: the last {self._in_a_row} requests had no answer')
            if self._next:
                self._next = now + _PAUSE

    def gave_up(self, status: int) -> None:
        """Note that a piece of work has ended with this answer to its last attempt."""
        if status in _FOR_A_DEAD_HOST:
            self.unanswered(f'HTTP {status}', timed_out=False)

    def unanswered(self, reason: str, timed_out: bool) -> None:
        """Note that a piece of work has ended without an answer; `reason` says why, for who is not answered later."""
        with self._lock:
            self._in_a_row += 1
            self._reason = reason
            self._next = time.monotonic() + _PAUSE if timed_out else 0.0

    def answered(self, status: int) -> None:
        """Note that the host has answered, and how."""
        if self._in_a_row and status not in _FOR_A_DEAD_HOST:
            with self._lock:
                self._in_a_row, self._next = 0, 0.0
