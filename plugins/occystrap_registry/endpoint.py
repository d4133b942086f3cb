"""What all clients of a run share: idle connections, how a host is to be spoken to, and how often."""
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from occystrap_core import Settings, __version__
from occystrap_registry.hosts import is_loopback

_CONNECTING = 20.0


class ConnectionPool:
    """Idle connections by host and trust. Each serves one request at a time, which measures faster than sharing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: defaultdict[object, list[httpx.Client]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def of(cls, settings: Settings) -> 'ConnectionPool':
        """Return the pool of the run."""
        return settings.shared.get(ConnectionPool, lambda: cls(settings))

    def take(self, url: httpx.URL, context: ssl.SSLContext) -> httpx.Client:
        """Return a connection to the host of `url`, an idle one if there is any."""
        with self._lock:
            if idle := self._idle[_key(url, context)]:
                return idle.pop()
        timeout = httpx.Timeout(self._settings.timeout, connect=min(_CONNECTING, self._settings.timeout))
        return httpx.Client(verify=context, timeout=timeout, follow_redirects=False,
                            trust_env=not is_loopback(url.host),
                            headers={'User-Agent': f'occystrap/{__version__}', 'Accept-Encoding': 'identity'})

    def give_back(self, url: httpx.URL, context: ssl.SSLContext, client: httpx.Client) -> None:
        """Keep a connection for whoever is next."""
        with self._lock:
            if not self._closed:
                self._idle[_key(url, context)].append(client)
                return
        client.close()

    def close(self) -> None:
        """Close what is idle, and from now on what is given back."""
        with self._lock:
            self._closed = True
            idle = [client for clients in self._idle.values() for client in clients]
            self._idle.clear()
        for client in idle:
            client.close()


def _key(url: httpx.URL, context: ssl.SSLContext) -> object:
    return url.scheme, url.netloc, id(context)  # contexts are made once a run and kept as long


@dataclass
class Endpoint:
    """A registry's host: what one client found out is known to all of the run."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    base: httpx.URL | None = None
    answered: bool = False

    @classmethod
    def of(cls, host: str, insecure: bool, settings: Settings) -> 'Endpoint':
        """Return what the run knows of `host[:port]`."""
        return settings.shared.get((Endpoint, host, insecure), cls)


class Pace:
    """Lets no more than `rate` requests a second begin."""

    def __init__(self, rate: float, wait: Callable[[float], None]) -> None:
        """`wait` sleeps so many seconds, or raises when the run is to stop."""
        self._interval, self._wait = 1 / rate, wait
        self._next = 0.0
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Wait until it is one's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._wait(turn - now)


def keep_pace(host: str, settings: Settings) -> None:
    """Wait as `Settings.rate_limit` asks before a request to `host[:port]`."""
    rate = settings.rate_limit
    if rate:
        settings.shared.get((Pace, host), lambda: Pace(rate, settings.cancellation.wait)).keep()
