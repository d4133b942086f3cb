"""A daemon that does not answer: after several timeouts in a row it is not asked for a while; images fail at once."""
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from occystrap_core import Settings
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.failures import TimedOut

_IN_A_ROW = 3
"""Number of short requests in a row that must time out."""
_PAUSE = 30.0
"""Seconds between attempts from then on."""


class Silence:
    """The record of one daemon's timeouts, for all images of a run: otherwise each would wait for a frozen daemon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._next = 0.0

    @classmethod
    def of(cls, address: Address, settings: Settings) -> 'Silence':
        """Return the run's record of a daemon."""
        return settings.shared.lasting.get((Silence, address.url), cls)

    @contextmanager
    def watched(self, address: Address) -> Iterator[None]:
        """Record how a request in the block ends; raises TimedOut instead if the daemon has timed out a moment ago."""
        self._require_attempt(address)
        try:
            yield
        except TimedOut:
            with self._lock:
                self._in_a_row += 1
                self._next = time.monotonic() + _PAUSE
            raise
        except BaseException:
            self._in_a_row = 0
            raise
        self._in_a_row = 0

    def _require_attempt(self, address: Address) -> None:
        with self._lock:
            if self._in_a_row < _IN_A_ROW:
                return
            now = time.monotonic()
            if now < self._next:
                raise TimedOut(f'the daemon at {address} did not answer the last {self._in_a_row} requests in time, '
                               'and was not asked again: see its log, or raise --timeout')
            self._next = now + _PAUSE
