"""A proxy in this process, between an upstream and a downstream that are registries of their own, and may misbehave."""
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from occystrap_core import Location, Settings, VerifyLevel
from occystrap_core.oci import Digest, media_types
from occystrap_registry.plugin import CONNECTION
from occystrap_registry.proxy.image_orders import Limits
from occystrap_registry.proxy.opened_proxy import Proxy, open_proxy
from occystrap_registry.proxy.remote import Remote
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from occystrap_registry.server.storage import PushedManifest, Storage

ACCEPT = {'Accept': ', '.join((*media_types.MANIFESTS, *media_types.INDEXES))}


class Odd(Storage):
    """A storage with a fault: `fault` may raise, or return other bytes to store in place of those that came."""

    fault: Callable[[str, bytes], bytes] | None = None

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Store a manifest, or what the fault makes of it, under its digest."""
        if self.fault:
            manifest = manifest._replace(raw=self.fault('manifest', manifest.raw))
        super().add_manifest(repository, manifest)

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Store a blob, or what the fault makes of it."""
        if self.fault:
            complete.write_bytes(self.fault('blob', complete.read_bytes()))
        super().add_blob(repository, digest, complete)


class Registry:
    """A registry whose requests are counted."""

    def __init__(self, root: Path, password: str = '') -> None:
        self.storage = Odd(root)
        self.requests: Counter[str] = Counter()
        self.server = RegistryServer(self.storage, observer=self._observe, password=password)

    @property
    def host(self) -> str:
        """Its address."""
        return self.server.host

    def _observe(self, method: str, path: str, status: int) -> None:
        self.requests[f'{method} {path}'] += 1

    def manifests(self, method: str = 'GET') -> int:
        """Return how many requests for manifests there were."""
        return sum(count for request, count in self.requests.items() if request.startswith(f'{method} ') and
                   '/manifests/' in request)


@dataclass
class Proxied:
    """The proxy, and what is around it."""

    server: RegistryServer
    down: Registry
    up: Registry | None
    recent: RecentImages
    settings: Settings = field(default_factory=Settings)

    @property
    def host(self) -> str:
        """The address of the proxy."""
        return self.server.host

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask the proxy."""
        with httpx.Client(trust_env=False, timeout=30, verify=False) as client:
            return client.request(method, f'http://{self.host}/v2/{path}', **more)

    def manifest(self, name: str, reference: str = 'v1', method: str = 'GET') -> httpx.Response:
        """Ask for a manifest."""
        return self.request(method, f'{name}/manifests/{reference}', headers=ACCEPT)

    def blob(self, name: str, digest: str, **headers: str) -> httpx.Response:
        """Ask for a blob."""
        return self.request('GET', f'{name}/blobs/{digest}', headers=headers)


@contextmanager
def proxied(root: Path, filters: Sequence[str] = (), upstream: 'Registry | bool' = False,
            level: VerifyLevel = VerifyLevel.FAST, down: Registry | None = None,
            served: ServerSettings = ServerSettings(), limits: Limits = Limits(), logins: tuple[str, str] = ('', ''),
            prefix: str = '/mirror', **options: Any) -> Iterator[Proxied]:
    """Run a proxy below `root`; `logins` are those of downstream and upstream, as `user:password@`."""
    settings = Settings(timeout=5.0, retries=0, verify=level)
    with ExitStack() as stack:
        down = down or stack.enter_context(started(Registry(root / 'down', logins[0][10:-1])))
        up = upstream if isinstance(upstream, Registry) else None
        if upstream is True:
            up = stack.enter_context(started(Registry(root / 'up', logins[1][10:-1])))
        there = remote(f'{logins[0]}{down.host}{prefix}', settings)
        above = remote(f'{logins[1]}{up.host}', settings) if up else None
        plan = Proxy(root / 'proxy', there, above, filters, limits, **options)
        recent = served.recent or RecentImages()
        server = stack.enter_context(open_proxy(plan, replace(settings, temporary=plan.temporary()),
                                                served._replace(recent=recent)))
        yield Proxied(server, down, up, recent, settings)


def trusting(**more: Any) -> Settings:
    """Settings of a client that takes without proof what a proxy's filters make of its image."""
    return Settings(verify=VerifyLevel.NONE, **more)


@contextmanager
def started(registry: Registry) -> Iterator[Registry]:
    """Run a registry."""
    with registry.server:
        yield registry


def remote(path: str, settings: Settings) -> Remote:
    """Return the registry of a proxy."""
    return Remote(Location.parse(f'registry://{path}', CONNECTION), settings)


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
