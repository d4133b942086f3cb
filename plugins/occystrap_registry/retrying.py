"""How long to wait before a request is tried again."""
import random
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone

_FIRST = 0.25
_LONGEST = 60.0


def backoff(attempt: int) -> float:
    """Return seconds to wait after failed attempt number `attempt` (0 the first): doubling, with jitter."""
    return float(min(_LONGEST, _FIRST * 2 ** attempt) * random.uniform(0.5, 1.5))


def retry_after(text: str | None, attempt: int) -> float:
    """Return seconds to wait for a Retry-After header (RFC 9110, 10.2.3), capped; garbage means the usual wait."""
    if text is None:
        return backoff(attempt)
    try:
        seconds = float(text) if text.strip().isdecimal() else _until(text)
    except (TypeError, ValueError, OverflowError):
        return backoff(attempt)
    return min(_LONGEST, max(0.0, seconds))


def _until(date: str) -> float:
    when = parsedate_to_datetime(date)
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return (when - datetime.now(timezone.utc)).total_seconds()
