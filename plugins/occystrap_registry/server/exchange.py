"""One request with its answer, and the log of all of them: one line of JSON each."""
import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from occystrap_core.files import output_errors, print_message, write_all
from occystrap_registry.server.access import header

_SENDING = 120.0
"""Seconds for a quarter of a megabyte of an answer; slower readers are disconnected."""
_LONGEST = 300
"""Longest text from a client in the log, in characters."""

Observer = Callable[[str, str, int], None]
"""Called for each answered request with method, path and status."""


class TooSlow(Exception):
    """A client does not read its answer."""


class Exchange:
    """A request and its answer, which are passed through; `status` is 0 until the answer begins.

    It stays 0 if the client has disconnected before. `received` and `sent` count the bytes of the bodies.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, observer: Observer | None,
                 is_behind: Callable[[], bool]) -> None:
        """`is_behind` returns whether the client still has to read what was sent: only then is there something to wait
        for."""
        self._is_behind = is_behind
        self.scope, self.status, self.received, self.sent = scope, 0, 0, 0
        self._receive, self._send, self._observer = receive, send, observer
        self._begun, self._is_alone = time.monotonic(), False

    @property
    def seconds(self) -> float:
        """Return the seconds since the head of the request."""
        return time.monotonic() - self._begun

    async def receive(self) -> Message:
        """Return the next part of the request."""
        message = await self._receive()
        self.received += len(message.get('body', b''))
        self._is_alone = message['type'] == 'http.disconnect'
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; raises TooSlow if the client does not read it."""
        if message['type'] == 'http.response.start':
            self.status = 0 if self._is_alone else message['status']
            if self._observer:
                self._observer(self.scope['method'], self.scope['path'], self.status)
        if self._is_behind():
            await self._send_in_time(message)
        else:
            await self._send(message)
        self.sent += len(message.get('body', b''))

    async def _send_in_time(self, message: Message) -> None:
        try:
            async with asyncio.timeout(_SENDING):
                await self._send(message)
        except TimeoutError:
            raise TooSlow from None

    def to_json(self) -> dict[str, Any]:
        """Return the log entry. It has no query and no login, since they may be secret."""
        now = datetime.now(timezone.utc).isoformat(timespec='milliseconds')
        return {'time': now, 'client': self.scope['client'][0], 'user': self.scope['state'].get('user', ''),
                'method': self.scope['method'], 'path': self.scope['path'], 'status': self.status, 'sent': self.sent,
                'seconds': round(self.seconds, 3),
                'agent': header(self.scope, b'user-agent').decode('latin-1')[:_LONGEST]}


class ExchangeLog(Protocol):
    """Is called with each exchange after its end, on the event loop."""

    def add(self, exchange: Exchange) -> None:
        """Record an exchange."""


class AccessLog:
    """A file to which each exchange is appended."""

    def __init__(self, path: Path) -> None:
        """`path` is the file, `-` is standard output; raises OutputError."""
        self._path, self._failed = path, False
        with output_errors(str(path)):
            self._file = 1 if str(path) == '-' else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                                                            0o640)

    def add(self, exchange: Exchange) -> None:
        """Append a line; a failure to write is logged once, and otherwise ignored."""
        try:
            write_all(self._file, json.dumps(exchange.to_json()).encode() + b'\n')
        except OSError as error:
            if not self._failed:
                self._failed = True
                print_message(f'occystrap: warning: cannot write to {self._path}: {error.strerror}: lines are missing')
