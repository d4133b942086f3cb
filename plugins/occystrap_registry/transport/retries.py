"""Retries of requests, and the delays before them."""
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from occystrap_core import ServiceError, ServiceUnavailable, Settings
from occystrap_core.files import TooManyRequests
from occystrap_registry.transport.answers import SMALL, Answer, Reply
from occystrap_registry.transport.endpoint import pause_all
from occystrap_registry.transport.network import ProxyUnreachable
from occystrap_registry.transport.proxies import note_of_proxy
from occystrap_registry.transport.silence import NotAsked, Silence
from occystrap_registry.transport.transport_errors import ProxyError, TimedOut, TransportError

_FIRST = 0.25
_HOPELESS = 900.0
"""A limit of requests that should end within this many seconds may end earlier, so that retrying is worth while."""
_A_TIME = 1e9
"""A number of seconds from this on is a time since 1970."""


class RedirectedNowhere(ServiceUnavailable):
    """A registry redirects to a host that cannot be reached."""


class Attempts:
    """The attempts at one operation: their count, their limit, and the delays between them."""

    def __init__(self, settings: Settings, host: str) -> None:
        """`host` is the host in error messages."""
        self._settings, self._host = settings, host
        self._made = 0

    def failed(self, error: TransportError) -> None:
        """Wait before the next attempt; raises ServiceUnavailable after the last one, or if the host is silent."""
        from occystrap_registry.transport.failures import attempts_worth  # late, as most requests succeed
        silence = Silence.of(asked_host(error) or self._host, self._settings)
        if self._made >= min(self._settings.retries, attempts_worth(error)) or silence.lasts:
            explained = self.explained(error)
            if not isinstance(error, NotAsked):
                silence.unanswered(str(explained), isinstance(error, TimedOut))
            raise explained from None
        self._settings.requests.count(retries=1)
        self._wait(backoff(self._made))

    def explained(self, error: TransportError) -> ServiceUnavailable:
        """Return the error for an attempt without an answer, naming the host that did not answer."""
        from occystrap_registry.transport.failures import explain
        asked = asked_host(error) or self._host
        text = explain(error, asked)
        if error.url and not isinstance(error, (ProxyUnreachable, ProxyError)):
            text = text.removesuffix('.') + note_of_proxy(error.url)
        if asked == self._host.lower():
            return ServiceUnavailable(text)
        return RedirectedNowhere(f'{text} ({self._host} redirects there)')

    def again(self, answer: Answer | Reply) -> bool:
        """Return whether to retry after an answer (429, or 5xx other than not implemented); if so, wait first.

        If a limit of requests ends long after the last attempt would, the answer is not retried.
        """
        limited = answer.status == 429
        self._settings.requests.asked(answer.url.netloc, refused=limited)
        passes = limited or (answer.status >= 500 and answer.status not in (501, 505))
        silence = Silence.of(answer.url.netloc, self._settings)
        if not passes or self._made >= self._settings.retries or (silence.lasts and not limited):
            silence.gave_up(answer.status)
            return False
        seconds = retry_after(answer.headers.get('retry-after'), self._made)
        left = self._settings.longest_wait * (self._settings.retries - self._made)
        if limited and seconds > max(_HOPELESS, left):
            return False
        self._settings.requests.count(retries=not limited, rate_limits=limited)
        if limited and answer.headers.get('retry-after'):  # without the header, the end of the limit is unknown
            pause_all(answer.url.netloc, seconds, self._settings)
        self._wait(seconds)
        return True

    def spend(self) -> None:
        """Count an attempt, without waiting for the next."""
        self._made += 1

    @property
    def has_more(self) -> bool:
        """Whether another attempt may be made."""
        return self._made <= self._settings.retries

    def progressed(self) -> None:
        """Restart the count, since the last attempt made progress."""
        self._made = 0

    def _wait(self, seconds: float) -> None:
        self._made += 1
        self._settings.cancellation.wait(min(seconds, self._settings.longest_wait))


def whole_reply(attempts: Attempts, send: Callable[[], Answer], cap: int = SMALL,
                crowd: AbstractContextManager[object] = nullcontext()) -> Reply:
    """Return the complete answer to `send`, with retries; each attempt holds `crowd`.

    The last answer is returned with any status. Raises ServiceUnavailable if there is none.
    """
    while True:
        try:
            with crowd, send() as answer:
                reply = answer.whole(cap)
        except TransportError as error:
            attempts.failed(error)
        else:
            if not attempts.again(reply):
                return reply


def unsuccessful(reply: Reply, text: str) -> ServiceError:
    """Return the error for an answer that remained after all attempts; its class says whether it is temporary, or a
    limit."""
    if reply.status == 429:
        return TooManyRequests(text, reply.url.netloc)
    return ServiceUnavailable(text) if reply.status >= 500 else ServiceError(text)


def asked_host(error: TransportError) -> str:
    """Return the `host[:port]` that did not answer, which may be another one that the registry redirected to."""
    return error.url.netloc if error.url else ''


def backoff(attempt: int) -> float:
    """Return seconds to wait after failed attempt number `attempt` (from 0): doubling, with jitter."""
    import random  # late, as most requests succeed
    return float(_FIRST * 2 ** min(attempt, 16) * random.uniform(0.5, 1.5))


def retry_after(text: str | None, attempt: int) -> float:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), uncapped; `backoff` if malformed or in the past.

    A number that is too large is a time in seconds or milliseconds since 1970, as Docker Hub sends it.
    """
    try:
        seconds = float(text) if text and text.strip().isdecimal() else _until(text or '')
        if seconds >= _A_TIME:
            seconds = (seconds / 1000 if seconds >= _A_TIME * 1000 else seconds) - time.time()
    except (TypeError, ValueError, OverflowError):
        seconds = -1
    return seconds if seconds >= 0 else backoff(attempt)


def note_of_limit(answer: Answer | Reply) -> str:
    """Return what to add to the message about a 429: when the limit ends; empty if that is soon or unknown."""
    seconds = retry_after(answer.headers.get('retry-after'), 0) if answer.status == 429 else 0.0
    return f'; it allows requests again in {round(seconds / 60)} minutes' if seconds > _HOPELESS else ''


def _until(date: str) -> float:
    when = parsedate_to_datetime(date)
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return (when - datetime.now(timezone.utc)).total_seconds()
