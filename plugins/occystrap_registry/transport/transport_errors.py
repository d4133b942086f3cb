"""Why a request got no answer, or no complete one.

    TransportError
    ├── ConnectError        no connection was made
    │   └── ConnectTimeout      (also TimedOut)
    ├── BrokenConnection    it broke while something was sent or received
    │   └── NotSent             the server takes no more of a request, but may have answered
    ├── TimedOut            nothing came, or was taken, in time
    ├── BadAnswer           the bytes are not an HTTP answer
    ├── ProxyError          a proxy does not connect to the host
    └── Unsendable          the request itself breaks the rules of HTTP
"""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from occystrap_registry.transport.url import URL


class TransportError(Exception):
    """A request without a complete answer; `url` is what was requested, as far as it is known."""

    url: 'URL | None' = None


class ConnectError(TransportError):
    """No connection was made."""


class TimedOut(TransportError):
    """A server or proxy sent or took nothing in time."""


class ConnectTimeout(ConnectError, TimedOut):
    """No connection was made in time."""


class BrokenConnection(TransportError):
    """A connection broke while it was used."""


class NotSent(BrokenConnection):
    """A server accepts no more of a request; it may have answered already."""


class BadAnswer(TransportError):
    """A server does not answer by the rules of HTTP."""


class ProxyError(TransportError):
    """A proxy does not connect to the host."""


class Unsendable(TransportError):
    """A request contains something that HTTP does not permit."""
