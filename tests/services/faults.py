"""A proxy before a real registry that makes the network bad: refusals, cuts, latency, a token that runs out.

It relays HTTP/1.1 from threads of this process, streams every body, and records each request, so that a test can say
what crossed the wire and how often. Which request meets which fault follows from the seed, the request's method and
path, and how often it came before: the order in which threads come does not matter.
"""
import random
import re
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.services.ports import LOOPBACK
from tests.services.relaying import Gone, Head, Side
from tests.services.threaded_server import stop

UPLOAD = re.compile(r'/blobs/uploads/([^?/]+)')
DIGEST = re.compile(r'sha256:[0-9a-f]{64}')
REFUSALS = ((429, 'Too Many Requests', 'TOOMANYREQUESTS'), (503, 'Service Unavailable', 'UNAVAILABLE'))


@dataclass(frozen=True)
class Faults:
    """What goes wrong: shares of requests are 0 to 1, `latency` is in seconds.

    `refused` of the requests are answered 429 or 503 with `Retry-After: 0` or 1; `cut` of those with a body, either
    way, lose their connection in mid body. Every request waits `latency`, and so does every new connection, as its
    handshake would. With `expires_after` the tokens in use at that many requests with a token are good no longer.
    """

    refused: float = 0.0
    cut: float = 0.0
    latency: float = 0.0
    expires_after: int | None = None
    seed: int = 0


@dataclass
class Exchange:
    """One request; `received` and `sent` are the bytes of its body and of the answer's, grown as they pass.

    `status` is 0 until there is an answer; `fault` is `refused`, `cut`, `expired`, or empty.
    """

    method: str
    path: str
    status: int = 0
    received: int = 0
    sent: int = 0
    fault: str = ''

    def __str__(self) -> str:
        return f'{self.method} {self.path} {self.status} {self.fault}'.rstrip()


@dataclass
class FaultProxy:
    """A running proxy: clients speak to `host`; `faults` may be exchanged while it runs."""

    upstream: str
    faults: Faults
    host: str = ''
    requests: list[Exchange] = field(default_factory=list)

    def blob_reads(self) -> Counter[str]:
        """How many GET requests brought bytes of a blob, by its digest."""
        return Counter(digest for digest, _ in self._blob_bytes())

    def bytes_read(self) -> Counter[str]:
        """The bytes of each blob that went to clients, by its digest."""
        total: Counter[str] = Counter()
        for digest, size in self._blob_bytes():
            total[digest] += size
        return total

    def blob_writes(self) -> Counter[str]:
        """How often each blob was uploaded to its end, by its digest."""
        return Counter(
            DIGEST.findall(each.path)[-1] for each in list(self.requests)
            if each.method == 'PUT' and each.status == 201 and UPLOAD.search(each.path))

    def faulty(self, fault: str) -> list[Exchange]:
        """The requests that met a fault."""
        return [each for each in list(self.requests) if each.fault == fault]

    def _blob_bytes(self) -> Iterator[tuple[str, int]]:
        for each in list(self.requests):
            found = DIGEST.findall(each.path)
            if each.method == 'GET' and '/blobs/' in each.path and found and each.status in (200, 206):
                yield found[-1], each.sent


@contextmanager
def fault_proxy(upstream: str, **faults: Any) -> Iterator[FaultProxy]:
    """A proxy before the registry at `upstream` (`host:port`, HTTP); the options are those of `Faults`."""
    proxy = FaultProxy(upstream, Faults(**faults))
    with _Server(proxy) as server:
        proxy.host = f'{LOOPBACK}:{server.server_address[1]}'
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            stop(server)
            server.interrupt()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # closing the server waits for them
    request_queue_size = 256

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__((LOOPBACK, 0), _Relay)
        self.proxy = proxy
        self.fate = _Fate()
        self.sides: set[Side] = set()

    def interrupt(self) -> None:
        for side in list(self.sides):
            side.interrupt()


class _Fate:
    """Decides what happens to which request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._tokens: set[bytes] = set()
        self._revoked: set[bytes] = set()
        self._with_token = 0

    def roll(self, seed: int, exchange: Exchange) -> random.Random:
        """Return a source of chances for this request alone; upload sessions have names of their own each time."""
        name = f'{seed} {exchange.method} {UPLOAD.sub("/blobs/uploads/", exchange.path.partition("_state=")[0])}'
        with self._lock:
            self._seen[name] += 1
            return random.Random(f'{name} {self._seen[name]}')

    def expired(self, authorization: bytes, after: int | None) -> bool:
        """Whether the token is good no longer."""
        if after is None or not authorization.lower().startswith(b'bearer '):
            return False
        with self._lock:
            self._with_token += 1
            self._tokens.add(authorization)
            if self._with_token == after:
                self._revoked = set(self._tokens)
            return authorization in self._revoked


class _Relay(socketserver.BaseRequestHandler):
    """One client's connection, and the connection to the registry that belongs to it."""

    server: _Server

    def handle(self) -> None:
        self._proxy, self._fate = self.server.proxy, self.server.fate
        self._upstream: Side | None = None
        self._client = self._tracked(self.request)
        time.sleep(self._proxy.faults.latency)
        try:
            while self._one_request():
                pass
        except (Gone, OSError):
            pass  # the client went, or it was cut off
        finally:
            self._drop(self._client)
            self._drop_upstream()

    def _one_request(self) -> bool:
        head = self._client.head()
        method, path, _ = head.start.decode().split(' ', 2)
        exchange, faults = Exchange(method, path), self._proxy.faults
        self._proxy.requests.append(exchange)
        time.sleep(faults.latency)
        chances = self._fate.roll(faults.seed, exchange)
        if head.value(b'expect'):
            self._client.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        if chances.random() < faults.refused:
            return self._refuse(head, exchange, chances)
        if self._fate.expired(head.value(b'authorization'), faults.expires_after):
            return self._expire(head, exchange)
        cut = _Cut(exchange, chances) if chances.random() < faults.cut else None
        return self._relay(head, exchange, cut)

    def _refuse(self, head: Head, exchange: Exchange, chances: random.Random) -> bool:
        status, reason, code = chances.choice(REFUSALS)
        self._discard(head, exchange)
        exchange.status, exchange.fault = status, 'refused'
        body = f'{{"errors":[{{"code":"{code}","message":"not now"}}]}}'.encode()
        answer = Head(f'HTTP/1.1 {status} {reason}'.encode(), [
            b'Content-Type: application/json', b'Content-Length: %d' % len(body),
            b'Retry-After: %d' % chances.randrange(2)])
        self._client.send(answer.wire() + (b'' if exchange.method == 'HEAD' else body))
        return True

    def _expire(self, head: Head, exchange: Exchange) -> bool:
        # Without the token, and without the body, the registry's own challenge comes back.
        exchange.fault = 'expired'
        self._discard(head, exchange)
        return self._relay(head.without(b'authorization', b'content-length', b'transfer-encoding'), exchange, None)

    def _discard(self, head: Head, exchange: Exchange) -> None:
        def lost(data: memoryview) -> None:
            exchange.received += len(data)
        self._client.body(head, lost)

    def _relay(self, head: Head, exchange: Exchange, cut: '_Cut | None') -> bool:
        upstream = self._connected()
        upstream.send(head.without(b'expect').wire())

        def receive(data: memoryview) -> None:
            piece = cut.before(head.length, exchange.received, data) if cut else data
            exchange.received += len(piece)
            upstream.send(piece)
            self._cut_off(cut, len(piece) < len(data))
        self._client.body(head, receive)
        answer = upstream.head()
        exchange.status = int(answer.start.split()[1])
        self._client.send(answer.wire())

        def send(data: memoryview) -> None:
            piece = cut.before(answer.length, exchange.sent, data) if cut else data
            exchange.sent += len(piece)
            self._client.send(piece)
            self._cut_off(cut, len(piece) < len(data))
        if not _has_no_body(exchange):
            upstream.body(answer, send, until_closed=True)
        return self._goes_on(exchange, head, answer)

    def _goes_on(self, exchange: Exchange, head: Head, answer: Head) -> bool:
        closing = b'close' in (head.value(b'connection').lower(), answer.value(b'connection').lower())
        delimited = answer.chunked or answer.length is not None or _has_no_body(exchange)
        return delimited and not closing

    def _cut_off(self, cut: '_Cut | None', now: bool) -> None:
        if cut and now:
            cut.exchange.fault = 'cut'
            if cut.reset:
                self._client.reset()
            raise Gone

    def _connected(self) -> Side:
        if self._upstream is None:
            host, _, port = self._proxy.upstream.rpartition(':')
            self._upstream = self._tracked(socket.create_connection((host, int(port))))
        return self._upstream

    def _tracked(self, connection: socket.socket) -> Side:
        side = Side(connection)
        self.server.sides.add(side)
        return side

    def _drop_upstream(self) -> None:
        if self._upstream:
            self._drop(self._upstream)
            self._upstream = None

    def _drop(self, side: Side) -> None:
        self.server.sides.discard(side)
        side.close()


class _Cut:
    """Where in a body a connection is lost."""

    def __init__(self, exchange: Exchange, chances: random.Random) -> None:
        self.exchange = exchange
        self.reset = chances.random() < 0.5
        self._at = chances.random()

    def before(self, length: int | None, passed: int, data: memoryview) -> memoryview:
        """What of the data still goes through; of a body of unknown length not even the first piece."""
        return data[:max(0, int((length or 0) * self._at) - passed)]


def _has_no_body(exchange: Exchange) -> bool:
    return exchange.method == 'HEAD' or exchange.status in (204, 304)
