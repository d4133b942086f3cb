"""GET /metrics: metrics for Prometheus and other collectors. No label has a value that clients choose."""
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from occystrap_core import __version__
from occystrap_registry.server.exchange import Exchange
from occystrap_registry.server.figures import figures_of
from occystrap_registry.server.garbage import Collected, Pool
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.route_names import BLOBS, MANIFESTS, UPLOADS, method_name, route_name

PATH = '/metrics'
_HEADERS = {'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff'}
_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300)
"""The buckets of durations in seconds; a blob may take minutes."""


class Metrics:
    """The metrics of one registry; requests are added on its event loop, the rest by any thread."""

    def __init__(self, recent: RecentImages) -> None:
        self.pool: Pool | None = None
        """The content of the storage when it was last measured."""
        self._registry = registry = CollectorRegistry()
        Info('occystrap_build', 'The version of this registry', registry=registry).info({'version': __version__})
        self._requests = Counter('occystrap_requests', 'Requests that were answered, or given up by their client (code '
                                 '0)', ('method', 'route', 'code'), registry=registry)
        self._durations = Histogram('occystrap_request_duration_seconds', 'Time from the head of a request to the end '
                                    'of its answer', ('method', 'route'), buckets=_SECONDS, registry=registry)
        self._kinds = dict[tuple[str, str, int], tuple[Counter, Histogram]]()
        self._received = Counter('occystrap_received_bytes', 'Bytes of the bodies of requests', registry=registry)
        self._sent = Counter('occystrap_sent_bytes', 'Bytes of the bodies of answers', registry=registry)
        self._stored = Counter('occystrap_stored', 'Blobs and manifests that were pushed or mounted', ('kind',),
                               registry=registry)
        self._collected = Counter('occystrap_collected', 'Blobs and manifests that garbage collection has removed',
                                  ('kind',), registry=registry)
        self._collected_bytes = Counter('occystrap_collected_bytes', 'Bytes that garbage collection has freed',
                                        registry=registry)
        self._gauges = {name: Gauge(f'occystrap_{name}', text, registry=registry) for name, text in _GAUGES.items()}
        for kind in (BLOBS, MANIFESTS):
            self._stored.labels(kind), self._collected.labels(kind)
        registry.register(_Images(recent))
        ProcessCollector(registry=registry)

    def routes(self) -> Sequence[Route]:
        """Return the route for the metrics."""
        return [Route(PATH, self.answer, methods=['GET'])]

    def add(self, exchange: Exchange) -> None:
        """Count a request with its answer."""
        method, route = method_name(exchange.scope['method']), route_name(exchange.scope['path'])
        count, duration = self._of(method, route, exchange.status)
        count.inc()
        duration.observe(exchange.seconds)
        self._received.inc(exchange.received)
        self._sent.inc(exchange.sent)
        if exchange.status == 201 and route in (UPLOADS, MANIFESTS):
            self._stored.labels(MANIFESTS if route == MANIFESTS else BLOBS).inc()

    def _of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """Return the counters for a kind of request; looking them up by labels each time takes longer than counting."""
        key = method, route, status
        if key not in self._kinds:
            self._kinds[key] = self._requests.labels(method, route, f'{status}'), self._durations.labels(method, route)
        return self._kinds[key]

    def add_collected(self, found: Collected) -> None:
        """Count what a garbage collection removed."""
        self._collected.labels(BLOBS).inc(found.blobs)
        self._collected.labels(MANIFESTS).inc(found.manifests)
        self._collected_bytes.inc(found.size)

    def set_pool(self, pool: Pool) -> None:
        """Note what the storage holds."""
        self.pool = pool
        self._gauges['storage_blobs'].set(pool.blobs)
        self._gauges['storage_bytes'].set(pool.size)

    def answer(self, request: Request) -> Response:
        """Return all metrics, in the requested format: that of Prometheus, or OpenMetrics."""
        self._look(request.app.state)
        encode, media_type = choose_encoder(request.headers.get('accept', ''))
        return Response(encode(self._registry), headers={'Content-Type': media_type, **_HEADERS})

    def _look(self, state: State) -> None:
        found = figures_of(state)
        self._gauges['connections'].set(found.connections)
        self._gauges['uploads'].set(found.uploads)
        if found.disk:
            self._gauges['disk_size_bytes'].set(found.disk.size)
            self._gauges['disk_free_bytes'].set(found.disk.free)


_GAUGES = {
    'connections': 'Connections that are open',
    'uploads': 'Uploads that have begun and not ended',
    'storage_blobs': 'Blobs of the storage, manifests among them, when it was last looked at: at the start, and then '
                     'with each garbage collection',
    'storage_bytes': 'Bytes of these blobs',
    'disk_size_bytes': 'Bytes of the file system of the storage',
    'disk_free_bytes': 'Bytes of it that are free',
}


class _Images:
    """Counts the images of a registry by result, when the metrics are read."""

    def __init__(self, recent: RecentImages) -> None:
        self._recent = recent

    def collect(self) -> Iterable[Metric]:
        """Yield the one metric."""
        counted = CounterMetricFamily('occystrap_images', 'Images that were pushed or pulled through, by what became '
                                      'of them', labels=('direction', 'outcome'))
        for (direction, outcome), number in self._recent.totals().items():
            counted.add_metric((direction, outcome), number)
        yield counted
