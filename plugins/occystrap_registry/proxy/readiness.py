"""Whether downstream answers: however many clients ask, it is asked at most once in a few seconds."""
import threading
import time

from occystrap_core import OccystrapError, ServiceUnavailable
from occystrap_core.files import print_message
from occystrap_registry.proxy.remote import Remote

_GOOD = 2.0
"""Seconds for which an answer is valid."""


class Readiness:
    """The last answer of downstream, for several threads: one of them asks while the others wait."""

    def __init__(self, downstream: Remote) -> None:
        self._downstream, self._lock = downstream, threading.Lock()
        self._asked, self._reason = float('-inf'), ''

    def require(self) -> None:
        """Raise ServiceUnavailable unless downstream answers; the reason is logged once."""
        with self._lock:
            if time.monotonic() - self._asked >= _GOOD:
                reason = self._ask()
                if reason and reason != self._reason:
                    print_message(f'occystrap: warning: not ready: {reason}')
                self._reason, self._asked = reason, time.monotonic()
            if self._reason:
                raise ServiceUnavailable('downstream does not answer: the log says why')

    def _ask(self) -> str:
        try:
            self._downstream.require_answer()
            return ''
        except OccystrapError as error:
            return str(error)
