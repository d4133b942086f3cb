"""How many images are copied at once: fewer of those that use a host which answers 429 (too many requests).

The hosts that an image uses, token servers and storages included, are known from earlier images with the same servers
in their URIs.
"""
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

from occystrap_core.bulk.jobs import Job

_ONCE = 1.0
"""Refusals within this many seconds count as one, since they come together."""
Servers = tuple[str, str]
"""The beginnings of the source's and the destination's URI, up to the host."""


class Pace:
    """Allows up to `most` images; half as many after a refusal, and one more after each answer without one."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._slowed = float('-inf')
        self.slots = most

    def answered(self, refused: bool) -> None:
        """Record an answer: whether any request for an image was refused."""
        if not refused:
            self.slots = min(self._most, self.slots + 1)
        elif self._clock() - self._slowed >= _ONCE:
            self._slowed, self.slots = self._clock(), max(1, self.slots // 2)


class HostPaces:
    """The paces of hosts that have refused requests, and the images that wait for these hosts."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` is the number of images that may be copied at once in all."""
        self._most, self._clock = most, clock
        self._paces: dict[str, Pace] = {}
        self._asks: defaultdict[Servers, set[str]] = defaultdict(set)
        """The hosts that images with these servers use."""
        self._at_work = Counter[Servers]()
        self._held: dict[Servers, deque[Job]] = {}
        self.held = 0
        """The number of images that are held back."""

    def may_begin(self, job: Job) -> bool:
        """Return whether an image may start now."""
        return not self._paces or self._has_room(_servers(job))

    def waiting(self, jobs: Iterable[Job]) -> int:
        """Return how many of these may not start now."""
        return sum(not self.may_begin(each) for each in jobs) if self._paces else 0

    def begun(self, job: Job) -> None:
        """Record that an image has started."""
        self._at_work[_servers(job)] += 1

    def ended(self, job: Job, hosts: Mapping[str, bool]) -> None:
        """Record that an image has ended, and the hosts that it used, each with whether it refused."""
        servers = _servers(job)
        self._at_work[servers] -= 1
        if not self._at_work[servers]:
            del self._at_work[servers]  # some servers occur once only, such as the name of an archive
        if hosts:
            self._asks[servers].update(hosts)
        for host, refused in hosts.items():
            if refused or host in self._paces:
                pace = self._paces.setdefault(host, Pace(self._most, self._clock))
                pace.answered(refused)
                if pace.slots == self._most and not refused:
                    del self._paces[host]

    def hold(self, job: Job) -> None:
        """Hold back an image until it may start."""
        self._held.setdefault(_servers(job), deque()).append(job)
        self.held += 1

    def next(self) -> Job | None:
        """Return an image that was held back and may start now; None if there is none."""
        for servers, held in self._held.items():
            if not self._paces or self._has_room(servers):
                job = held.popleft()
                self.held -= 1
                if not held:
                    del self._held[servers]
                return job
        return None

    def _has_room(self, servers: Servers) -> bool:
        slow = [(host, self._paces[host].slots) for host in self._asks.get(servers, ()) if host in self._paces]
        return all(self._count(host) < slots for host, slots in slow)

    def _count(self, host: str) -> int:
        return sum(count for servers, count in self._at_work.items() if host in self._asks.get(servers, ()))


def _servers(job: Job) -> Servers:
    return _server(job.order.source), _server(job.goes)


def _server(uri: str) -> str:
    return '/'.join(uri.split('/', 3)[:3])
