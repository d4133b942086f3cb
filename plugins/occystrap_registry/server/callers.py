"""Who is connected: strangers get little time to say what they want, and the oldest make room for others."""
import asyncio
import time
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER = 10.0
"""Seconds that a stranger gets for the header of a request, and one that was let in from one request to the next."""
_IDLE = 60.0
_STRANGERS = 64
"""Connections that may wait at once without having been let in."""
_CONNECTIONS = 256
"""Connections that may be open at once, all in all."""

Peer = tuple[str, int]


@dataclass
class Caller:
    """One connection: `known` once a request of it was let in, `waiting` since then for the next, None meanwhile."""

    transport: asyncio.Transport
    waiting: float | None
    known: bool = False

    def overdue(self, now: float) -> bool:
        """Tell whether it has waited for longer than it may."""
        return self.waiting is not None and now - self.waiting >= (_IDLE if self.known else _HEADER)


class Callers:
    """The connections of one server, all on its event loop."""

    def __init__(self) -> None:
        self._callers: dict[Peer, Caller] = {}

    def arrived(self, transport: asyncio.Transport) -> None:
        """Take note of a connection; too many strangers that wait, or connections, cost the oldest stranger its own."""
        new = Caller(transport, time.monotonic())
        self._callers[transport.get_extra_info('peername')[:2]] = new
        asyncio.get_running_loop().call_later(_HEADER, self._dismiss_overdue)
        strangers = [each for each in self._callers.values() if not each.known and each.waiting is not None]
        if len(strangers) > _STRANGERS or len(self._callers) > _CONNECTIONS:
            self._dismiss(strangers[0])

    def left(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._callers = {peer: each for peer, each in self._callers.items() if each.transport is not transport}

    def _dismiss(self, caller: Caller) -> None:
        self.left(caller.transport)
        caller.transport.abort()

    def asks(self, peer: Peer, let_in: bool) -> None:
        """Take note of the header of a request."""
        if caller := self._callers.get(peer):
            caller.waiting, caller.known = None, caller.known or let_in

    def answered(self, peer: Peer) -> None:
        """Take note that a request is done with."""
        if caller := self._callers.get(peer):
            caller.waiting = time.monotonic()
            asyncio.get_running_loop().call_later(_IDLE if caller.known else _HEADER, self._dismiss_overdue)

    def _dismiss_overdue(self) -> None:
        now = time.monotonic()
        for caller in list(self._callers.values()):
            if caller.overdue(now):
                self._dismiss(caller)


class CallerProtocol(H11Protocol):
    """HTTP/1.1, whose connections are counted; a subclass for each server has its `callers`."""

    callers: Callers

    @classmethod
    def of(cls, callers: Callers) -> type['CallerProtocol']:
        """Return the class for one server."""
        return type('CallerProtocol', (cls,), {'callers': callers})

    def connection_made(self, transport: Any) -> None:
        """Take note of it."""
        super().connection_made(transport)
        self.callers.arrived(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self.callers.left(self.transport)
