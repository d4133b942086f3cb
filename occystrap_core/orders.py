"""Copying one image from a program, or from a plugin's command: it takes an order and returns the result.

Both are plain values that can be pickled, without settings, connections or secrets, so that another process or machine,
with logins of its own, can execute an order.
"""
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from occystrap_core.api.schemes import ExecutorKind
from occystrap_core.errors import ImageNotFound, OccystrapError, OutputError, ServiceUnavailable, UsageError

if TYPE_CHECKING:  # a plugin that declares an executor imports this module at every start
    from occystrap_core.api.schemes import InputScheme, WriterScheme
    from occystrap_core.api.uri import Location
    from occystrap_core.report.image_report import ImageReport
    from occystrap_core.oci.digest import Digest
    from occystrap_core.plugins.manager import Plugins
    from occystrap_core.settings import Settings
    from occystrap_core.tasks.image_task import ImageTask

__all__ = ['ExecutorKind', 'ImageDone', 'ImageOrder', 'ImagePlan', 'NothingToFilter', 'plan_order', 'require_possible',
           'run_order', 'worker_name']


class NothingToFilter(UsageError):
    """The order has filters, but its image is an artifact, such as a chart or a signature, or an index of these."""


class ImageOrder(NamedTuple):
    """One image to copy: source, destination and filters in the form of arguments of `process`. It holds no passwords.
    """

    source: str
    """A URI that names one image, or an index with all its platforms."""
    destination: str
    filters: tuple[str, ...] = ()
    """Each as `name:key=value,…`, in order."""
    platform: str | None = None
    """As --platform. None takes all platforms if the destination holds indexes, otherwise this machine's."""
    bringer: tuple[str, str, str] | None = None
    """Who brought the image, as receipts name it: source, destination and list; None for the order's own source and
    destination."""


class ImagePlan(NamedTuple):
    """What is needed to copy the image of an order, found out by opening it; it is sent to the worker that copies it.
    """

    order: ImageOrder
    store: str = ''
    """Identifies where other images of the destination find its layers, such as its registry; empty if nowhere."""
    layers: frozenset[str] = frozenset()
    """The digests of all layers: of the blob or, where the source has none, of the tar."""
    documents: Mapping[str, tuple[bytes, str]] = {}
    """The manifests and configs that were read, each with its media type, by name."""
    requests: Mapping[str, int] = {}
    hosts: Mapping[str, bool] = {}
    """As in ImageDone."""


class ImageDone(NamedTuple):
    """The result of an order."""

    order: ImageOrder
    outcome: str = ''
    """`verified`, `failed` or `unverified`; empty without verification, or if nothing was written."""
    report: Mapping[str, Any] = {}
    """The image's part of the report of `process -O json`; empty if no image was found."""
    receipt: str = ''
    """The receipt with its verdict, as a line of a file of receipts; empty if nothing was written."""
    digest: str = ''
    """The digest of the manifest or index at the destination; empty if the destination keeps none."""
    error: OccystrapError | None = None
    """Why the image is not at the destination, or is not proved to be there; None after a success."""
    requests: Mapping[str, int] = {}
    """The counters of RequestStats for this order."""
    hosts: Mapping[str, bool] = {}
    """The hosts that were asked, each with whether it refused because of too many requests (429)."""

    @property
    def succeeded(self) -> bool:
        """Whether the image was copied and, if requested, verified."""
        return self.error is None

    def require(self) -> 'ImageDone':
        """Return the result itself; raises `error` if there is one."""
        if self.error:
            raise self.error
        return self


def run_order(order: ImageOrder, settings: 'Settings', layer_cache: str | None = None, plan: ImagePlan | None = None,
              brought: Mapping[str, str] | None = None, proofs: bool = False) -> ImageDone:
    """Copy and verify the image of an order as `process` does, and return the result; failures are part of it.

    `settings.verify` is the level of verification. Connections, tokens and logins stay in `settings.shared` for the
    next order, until that is closed. A long-lived caller should close it every few minutes, which it may do at any
    time, so that changed logins are noticed. What was found at a destination, such as existing blobs, is not kept,
    since it may be gone by the next order.

    `layer_cache` is a file with results of filters for layers. `plan` is the plan of this order: documents that it has
    are not read again. `brought` has the digests of layers that other workers brought, each with the URI of an image at
    the destination that has it. With `proofs`, the report has each expectation with its observations.

    May be called by several threads. Raises Cancelled if `settings.cancellation` is set.
    """
    own = _own(order, settings, dict(plan.documents) if plan else None)
    how = {'layer_cache': layer_cache, 'is_missing': plan is not None, 'proofs': proofs}
    return _done(order, own, how, brought or {})


def plan_order(order: ImageOrder, settings: 'Settings', earlier: str = '', refresh: bool = True,
               proofs: bool = False) -> ImagePlan | ImageDone:
    """Return what is needed to copy the image of an order, or the result if there is nothing to copy or copying is
    impossible.

    `earlier` is a receipt of the image, as a line. If that receipt, or what the destination keeps, proves that the
    image is there and, with `refresh`, is still the source's, the image is left as it is. `proofs` is as for
    `run_order`. May be called by several threads. Raises Cancelled, and InvalidReceipt for a damaged `earlier`.
    """
    from occystrap_core.tasks.earlier_run import EarlierRun
    from occystrap_core.verification.receipt import Receipt
    own, found = _own(order, settings, {}), list[ImagePlan]()
    known = EarlierRun([Receipt.from_json(earlier)] if earlier else ())
    how = {'earlier': known, 'refresh': refresh, 'look': partial(_look, order, found.append), 'proofs': proofs}
    done = _done(order, own, how, {})
    return found[0]._replace(requests=done.requests, hosts=done.hosts) if found and done.succeeded else done


def _look(order: ImageOrder, found: 'Callable[[ImagePlan], None]', task: 'ImageTask') -> None:
    """Open the image of a task, and pass its plan to `found`."""
    from occystrap_core.pipeline.base_layers import images_in
    from occystrap_core.pipeline.task_copy import open_task
    with task.use.opened(partial(open_task, task), task.settings) as (source, _):
        digests = {str(layer.descriptor.digest if layer.descriptor else layer.diff_id)
                   for image in images_in(source) for layer in image.layers}
    store = task.output.made().layer_store
    found(ImagePlan(order, '' if store is None else repr(store), frozenset(digests), task.settings.documents or {}))


def worker_name(process: int | None = None) -> str:
    """Return `MACHINE:PROCESS` for this process, or for the process with this number on this machine: a worker's name
    in messages."""
    import os
    import socket
    return f'{socket.gethostname()}:{process or os.getpid()}'


def require_possible(order: ImageOrder, settings: 'Settings') -> None:
    """Raise UsageError for an order that can never succeed: an unknown scheme, filter or option, or a secret in it."""
    from occystrap_core.plugins.resolver import open_filters
    plugins = _plugins(settings)
    _require_no_secrets(plugins, order.source, order.destination)
    settings.choosing(order.platform)
    open_filters(plugins, order.filters, settings)


def _done(order: ImageOrder, settings: 'Settings', how: Mapping[str, Any], brought: Mapping[str, str]) -> ImageDone:
    """Return the result of an order, executed with the fields `how` of Run."""
    plugins, counts, hosts = _plugins(settings), settings.requests.counts, settings.requests.hosts
    try:
        _require_no_secrets(plugins, order.source, order.destination)
        report = _executed(plugins, order, settings, {**how, 'brought': _locations(plugins, brought)})
    except Exception as failure:  # any failure must be picklable
        return ImageDone(order, error=_known(failure, plugins), requests=counts(), hosts=hosts())
    outcome, receipt = report.outcome.value if report.outcome else '', report.recorded
    digest = str(receipt.manifest_digest or '') if receipt else ''
    return ImageDone(order, outcome, report.to_json(), receipt.to_json() if receipt else '', digest,
                     _failure_of(report), counts(), hosts())


def _locations(plugins: 'Plugins', brought: Mapping[str, str]) -> 'dict[Digest, Location]':
    from occystrap_core.oci.digest import Digest
    from occystrap_core.plugins.resolver import destination_location
    return {Digest(digest): destination_location(plugins, goes) for digest, goes in brought.items()}


def _executed(plugins: 'Plugins', order: ImageOrder, settings: 'Settings', how: Mapping[str, Any]) -> 'ImageReport':
    """Return the report on the one image of an order; raises as Run does, and UsageError for several images."""
    from occystrap_core.report.progress import Progress
    from occystrap_core.pipeline.run import Run
    run = Run(plugins, settings.choosing(order.platform), settings.verify, Progress(), of_one_image=True, **how)
    images = run.process(order.source, order.destination, order.filters).images
    if not images:
        raise ImageNotFound(f'{order.source} matches no image')
    return images[0]


def _own(order: ImageOrder, settings: 'Settings', documents: dict[str, tuple[bytes, str]] | None) -> 'Settings':
    """Return settings for one order, which share with other orders what lasts."""
    from dataclasses import replace

    from occystrap_core.name_memory import NameMemory
    from occystrap_core.settings import RequestStats, Shared
    return replace(settings, shared=Shared(settings.shared), cancellation=settings.cancellation.child(),
                   requests=RequestStats(), names=NameMemory(settings.names.most), bringer=order.bringer,
                   documents=documents)


def _plugins(settings: 'Settings') -> 'Plugins':
    from occystrap_core.plugins.manager import Plugins, build_plugin_manager
    return settings.shared.lasting.get(Plugins, build_plugin_manager)


def _known(failure: Exception, plugins: 'Plugins') -> OccystrapError:
    """Return a failure as an error of the public API, which can be pickled."""
    from occystrap_core.pipeline.content_fit import NotFiltered
    from occystrap_core.report.image_report import failure_text
    if isinstance(failure, NotFiltered):
        return NothingToFilter(str(failure))
    if isinstance(failure, OccystrapError) and type(failure).__module__ == OccystrapError.__module__:
        return failure.with_traceback(None)
    kind = next((each for each in type(failure).__mro__ if each.__module__ == OccystrapError.__module__
                 and issubclass(each, OccystrapError)), OutputError if isinstance(failure, OSError) else OccystrapError)
    return kind(failure_text(failure, plugins))


def _failure_of(report: 'ImageReport') -> OccystrapError | None:
    """Return why a copied image is not proved to be there; None if it is, or if that was not requested."""
    from occystrap_core.verification.results import Outcome
    if report.succeeded:
        return None
    found = '; '.join(f'{each.item}: {each.message}' for each in report.findings)
    if report.outcome is Outcome.UNVERIFIED:
        return ServiceUnavailable(f'{report.destination} is not verified: {report.failure or found}')
    return OutputError(report.failure or f'{report.destination} is not what was written: {found}')


def _require_no_secrets(plugins: 'Plugins', source: str, destination: str) -> None:
    from occystrap_core.plugins.resolver import destination_location, source_location
    require_no_login(plugins, source_location(plugins, source), destination_location(plugins, destination))


def require_no_login(plugins: 'Plugins', source: 'Location', destination: 'Location') -> None:
    """Raise UsageError, saying what to do, if a location in an order contains a login."""
    from occystrap_core.api.schemes import InputScheme, WriterScheme
    _require_none_in(source, plugins.find(InputScheme, source.scheme))
    _require_none_in(destination, plugins.find(WriterScheme, destination.scheme))


def _require_none_in(location: 'Location', scheme: 'InputScheme | WriterScheme') -> None:
    from occystrap_core.api.uri import without_login
    secret = any(location.options.get(each.name) for each in scheme.options if each.secret)
    if secret or without_login(location.path) != location.path:
        raise UsageError(f'{location} has a login in it, which an order must not hold: log in where it is executed, '
                         'with occystrap login')
