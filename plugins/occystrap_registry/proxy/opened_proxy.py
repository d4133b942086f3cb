"""Assembles a proxy: its directory, the registry that serves the staging area to orders, and its server."""
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from occystrap_core import OutputError, Settings
from occystrap_core.files import output_errors
from occystrap_registry.proxy.deletions import Deletions
from occystrap_registry.proxy.downstream_blobs import DownstreamBlobs, ReadOnce
from occystrap_registry.proxy.image_orders import ImageOrders, Limits
from occystrap_registry.proxy.images import ProxiedImages, Sources
from occystrap_registry.proxy.known_digests import KnownDigests
from occystrap_registry.proxy.proxy_requests import ProxyRequests
from occystrap_registry.proxy.readiness import Readiness
from occystrap_registry.proxy.remote import Remote
from occystrap_registry.proxy.staged_images import Staging, StagingUpkeep
from occystrap_registry.server.access import USER, Rules
from occystrap_registry.server.opened_storage import open_storage_as
from occystrap_registry.server.recent_images import RecentImages
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings

_STAGING, _SPOOL, _KNOWN, _LAYERS = 'staging', 'spool', 'known.sqlite', 'layers.sqlite'
"""What a proxy has in its directory."""


class Proxy(NamedTuple):
    """The configuration of a proxy."""

    place: Path
    """Its directory."""
    downstream: Remote
    upstream: Remote | None = None
    filters: Sequence[str] = ()
    limits: Limits = Limits()
    quota: int = 20 << 30
    """Limit for staged data, in bytes."""
    fresh: float = 60.0
    """Seconds for which upstream is not asked again what a tag means."""
    reads_once: bool = True
    """Whether verification reads each blob back once, whatever its level."""
    deletes: bool = False
    """Whether tags and manifests may be deleted."""

    @property
    def recipe(self) -> str:
        """What determines the digests of images, and where they are: remembered facts are only valid for this."""
        return '\n'.join([self.downstream.name, self.upstream.name if self.upstream else '', *self.filters])

    def temporary(self) -> str:
        """Return the directory for spooled data."""
        return str(self.place / _SPOOL)


@contextmanager
def open_proxy(proxy: Proxy, settings: Settings, served: ServerSettings, port: int = 0) -> Iterator[RegistryServer]:
    """Run a proxy while the block runs; orders get `settings`. Raises OutputError, ServiceUnavailable.

    At the end, current requests have the time of `served`, and are then cancelled.
    """
    recent = served.recent or RecentImages()
    with ExitStack() as stack:
        sources = stack.enter_context(_sources(proxy, settings))
        orders = ImageOrders(settings, proxy.filters, proxy.limits, recent, str(proxy.place / _LAYERS))
        stack.callback(orders.stop)
        requests = ProxyRequests(ProxiedImages(sources, orders, proxy.fresh), orders, proxy.downstream, sources.blobs,
                                 sources.staging, Deletions(proxy.downstream, sources.known, orders, proxy.deletes))
        server = RegistryServer(sources.staging, port, settings=served._replace(
            recent=recent, handlers=requests.handlers))
        assert server.uploads
        sources.staging.is_uploading = server.uploads.is_under_way
        stack.enter_context(StagingUpkeep(sources.staging, orders.renew))
        yield stack.enter_context(server)


@contextmanager
def _sources(proxy: Proxy, settings: Settings) -> Iterator[Sources]:
    """Open the directory of a proxy, and serve its staging area to orders, on this machine, with a password."""
    place = proxy.place
    with output_errors(str(place)):
        _require_own(place)
        place.mkdir(parents=True, exist_ok=True)
    with closing(KnownDigests(place / _KNOWN, proxy.recipe)) as known:
        ReadOnce(proxy.downstream, known, proxy.reads_once).keep(proxy.downstream.host, settings)
        blobs, readiness = DownstreamBlobs(proxy.downstream, known), Readiness(proxy.downstream)
        with open_storage_as(place / _STAGING, lambda root: Staging(
                root, proxy.downstream, blobs, readiness, proxy.quota)) as staging:
            with output_errors(str(place)):
                _clear(staging, place / _SPOOL)
            with _shown(staging, settings) as host:
                yield Sources(proxy.downstream, proxy.upstream, blobs, staging, host, known)


@contextmanager
def _shown(staging: Staging, settings: Settings) -> Iterator[str]:
    """Serve the staging area on a port of this machine, with a password that is added to the settings; yield the
    address."""
    password = secrets.token_hex(16)  # all users of the machine can reach the port
    server = RegistryServer(staging, password=password, settings=ServerSettings(rules=Rules(read_only=True)))
    settings.credentials[server.host] = (USER, password)
    with server:
        yield server.host


def _require_own(place: Path) -> None:
    """Raise OutputError for a directory that is not a proxy's, since staged data in it will be removed.

    A proxy creates its memory there before anything else; SQLite adds files beside its own.
    """
    found = {*os.listdir(place)} if place.exists() else set()
    kept = {_STAGING, _SPOOL, *(f'{name}{end}' for name in (_KNOWN, _LAYERS) for end in ('', '-journal'))}
    if found - kept or found and _KNOWN not in found:
        raise OutputError(f'{place} is not the directory of a proxy: choose a new directory with '
                          '--storage')
    if links := sorted(name for name in found if (place / name).is_symlink()):
        raise OutputError(f'{place / links[0]} is a symbolic link, which a storage never contains: remove it, or '
                          'choose another directory with --storage')


def _clear(staging: Staging, spool: Path) -> None:
    """Remove what an earlier proxy left staged."""
    staging.clear()
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
