"""The connections of a run: kept from request to request and from image to image, and woken up when it is over."""
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx

from occystrap_core import Settings, __version__
from occystrap_registry.hosts import is_loopback

_CONNECTING = 20.0
_IDLE = 30.0
"""Seconds after which an idle connection is not trusted any more; servers and what is before them close at 60."""


class Connection:
    """A connection to one host, for one request at a time; made with the first, made anew where it broke."""

    def __init__(self, url: httpx.URL, context: ssl.SSLContext, settings: Settings) -> None:
        timeout = httpx.Timeout(settings.timeout, connect=min(_CONNECTING, settings.timeout))
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # the next user may be logged in as another
        self._client = httpx.Client(
            verify=context, timeout=timeout, follow_redirects=False, cookies=no_cookies,
            limits=httpx.Limits(keepalive_expiry=_IDLE), trust_env=not is_loopback(url.host),
            headers={'User-Agent': f'occystrap/{__version__}', 'Accept-Encoding': 'identity'})
        self._socket: socket.socket | None = None

    def send(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Iterable[memoryview] | None,
             ) -> httpx.Response:
        """Return the answer, its body unread; raises httpx.TransportError."""
        request = self._client.build_request(method, url, headers=headers, content=cast(Iterable[bytes] | None, body),
                                             extensions={'trace': self._trace})
        return self._client.send(request, stream=True)

    def interrupt(self) -> None:
        """Wake up the thread that waits for an answer: to it the connection is broken. Closing would not wake it."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS sockets have one that says goodbye first

    def close(self) -> None:
        """Close the connection while nobody uses it."""
        self._client.close()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(('connect_tcp.complete', 'start_tls.complete')):
            self._socket = info['return_value'].get_extra_info('socket')


class ConnectionPool:
    """Idle connections by host and trust. Each serves one request at a time, which measures faster than sharing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: defaultdict[object, list[Connection]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> 'ConnectionPool':
        """Return the pool of the run."""
        return settings.shared.get(ConnectionPool, lambda: cls(settings))

    def take(self, url: httpx.URL, context: ssl.SSLContext) -> Connection:
        """Return a connection to the host of `url`, an idle one if there is any."""
        with self._lock:
            if idle := self._idle[_key(url, context)]:
                return idle.pop()
        return Connection(url, context, self._settings)

    def give_back(self, url: httpx.URL, context: ssl.SSLContext, connection: Connection) -> None:
        """Keep a connection for whoever is next."""
        with self._lock:
            if not self._closed:
                self._idle[_key(url, context)].append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle, and from now on what is given back."""
        with self._lock:
            self._closed = True
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()


def _key(url: httpx.URL, context: ssl.SSLContext) -> object:
    return url.scheme, url.netloc, id(context)  # contexts are made once a run and kept as long
