"""The connections of a server: unauthenticated ones have short timeouts, and the oldest are closed for new ones."""
import asyncio
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER = 10.0
"""Timeout in seconds for the header of a request on a connection without an admitted request."""
_IDLE = 60.0
"""Timeout in seconds between requests on a connection with an admitted request."""
_UNREAD = 120.0
"""Additional seconds for a client that has not yet read the end of an answer."""
_MOMENT = 3.0
"""Seconds for the first request of a connection, before it is closed to make room below the limit of connections."""
_TICK = 0.1
"""Least seconds between two searches for connections that have exceeded their timeouts."""

_AT_ONCE = struct.pack('ii', 1, 0)
"""Linger for zero seconds (socket(7))."""

Peer = tuple[str, int]


@dataclass
class Caller:
    """One connection. `known`: it has had an admitted request; `waiting`: since when, unless it has current `requests`.

    The next request may begin before the last one, whose answer was sent completely, has ended.
    """

    transport: asyncio.Transport
    waiting: float
    known: bool = False
    requests: int = 0

    def overdue(self, now: float) -> bool:
        """Return whether the connection has exceeded its timeout."""
        return not self.requests and now - self.waiting >= self.patience

    @property
    def patience(self) -> float:
        """Its timeout in seconds; longer while the client has not read an answer to its end."""
        if self.known and self.transport.get_write_buffer_size():
            return _IDLE + _UNREAD
        return _IDLE if self.known else _HEADER


class Callers:
    """The connections of one server; used on its event loop only."""

    def __init__(self, strangers: int = 64, connections: int = 256) -> None:
        """`strangers` limits waiting connections without an admitted request, after a moment; `connections` all."""
        self._callers: dict[Peer, Caller] = {}
        self._strangers, self._connections = strangers, connections
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self._callers)

    def arrived(self, transport: asyncio.Transport) -> None:
        """Record a new connection; beyond a limit, close the oldest unauthenticated one.

        Clients may open many at once, before they send anything: containerd one for each layer of an image. So beyond
        the limit of unauthenticated ones only such are closed that had time for a request.
        """
        now = time.monotonic()
        self._callers[_peer(transport)] = Caller(transport, now)
        self._look_later(_HEADER)
        if len(self._callers) <= min(self._strangers, self._connections):
            return
        strangers = [each for each in self._callers.values() if not each.known and not each.requests]
        is_full = len(self._callers) > self._connections
        if is_full or (len(strangers) > self._strangers and now - strangers[0].waiting >= _MOMENT):
            self._dismiss(strangers[0])

    def left(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        peer = _peer(transport)
        if peer in self._callers and self._callers[peer].transport is transport:
            del self._callers[peer]

    def _dismiss(self, caller: Caller) -> None:
        self.left(caller.transport)
        caller.transport.abort()

    def asks(self, peer: Peer) -> None:
        """Record the header of a request."""
        if caller := self._callers.get(peer):
            caller.requests += 1

    def is_behind(self, peer: Peer) -> bool:
        """Return whether a connection still has unsent data of an answer."""
        caller = self._callers.get(peer)
        return caller is None or caller.transport.get_write_buffer_size() > 0

    def admit(self, peer: Peer) -> None:
        """Record that a request was admitted."""
        if caller := self._callers.get(peer):
            caller.known = True

    def hang_up(self, peer: Peer) -> None:
        """Close a connection at once, discarding unsent data."""
        if caller := self._callers.get(peer):
            caller.transport.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._dismiss(caller)

    def answered(self, peer: Peer) -> None:
        """Record the end of a request."""
        if caller := self._callers.get(peer):
            caller.requests -= 1
            caller.waiting = time.monotonic()
            self._look_later(caller.patience)

    def _look_later(self, seconds: float) -> None:
        """Search for connections beyond their timeouts later, or earlier than planned; one timer each would cost too
        much."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() > loop.time() + seconds:
            if self._timer:
                self._timer.cancel()
            self._timer = loop.call_later(seconds, self._dismiss_overdue)

    def _dismiss_overdue(self) -> None:
        self._timer, now = None, time.monotonic()
        for caller in list(self._callers.values()):
            if caller.overdue(now):
                self._dismiss(caller)
        left = [each.waiting + each.patience - now for each in self._callers.values() if not each.requests]
        if left:
            self._look_later(max(_TICK, min(left)))


def _peer(transport: asyncio.Transport) -> Peer:
    address, port = transport.get_extra_info('peername')[:2]
    return address, port


class CallerProtocol(H11Protocol):
    """HTTP/1.1 that notes its connections; each server has a subclass with its `callers`."""

    callers: Callers

    @classmethod
    def of(cls, callers: Callers) -> type['CallerProtocol']:
        """Return the class for one server."""
        return type('CallerProtocol', (cls,), {'callers': callers})

    def connection_made(self, transport: Any) -> None:
        """Note the connection."""
        super().connection_made(transport)
        self.callers.arrived(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self.callers.left(self.transport)
