"""Copying one image from a program, or from a plugin's command: an order goes in, what was done comes out.

Both are plain values that can be pickled, without settings, connections or secrets, so that an order can also be
executed by another process or machine, which has its own logins.
"""
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from occystrap_core.errors import ImageNotFound, OccystrapError, OutputError, ServiceUnavailable, UsageError
from occystrap_core.name_memory import NameMemory
from occystrap_core.settings import RequestStats, Settings, Shared

if TYPE_CHECKING:
    from occystrap_core.api.schemes import InputScheme, WriterScheme
    from occystrap_core.api.uri import Location
    from occystrap_core.report.image_report import ImageReport
    from occystrap_core.plugins.manager import Plugins

__all__ = ['ImageDone', 'ImageOrder', 'NothingToFilter', 'require_possible', 'run_order']


class NothingToFilter(UsageError):
    """What an order has filters for is no image: an artifact, such as a chart or a signature, or an index of these."""


class ImageOrder(NamedTuple):
    """What to copy where: one image, as the arguments of `process` name it. It holds no passwords."""

    source: str
    """A URI that names one image, or an index with all its platforms."""
    destination: str
    filters: tuple[str, ...] = ()
    """`name:key=value,…` each, in order."""
    platform: str | None = None
    """As --platform; None takes all platforms where the destination holds indexes, else this machine's."""


class ImageDone(NamedTuple):
    """What became of an order."""

    order: ImageOrder
    outcome: str = ''
    """`verified`, `failed` or `unverified`; empty without verification, and if nothing was written."""
    report: Mapping[str, Any] = {}
    """The image's part of the report of `process -O json`; empty if no image was found."""
    receipt: str = ''
    """The receipt with its verdict, as a line of a file of receipts; empty if nothing was written."""
    digest: str = ''
    """That of the manifest or index at the destination, empty if it keeps none."""
    error: OccystrapError | None = None
    """Why the image is not where it should be, or not proved to be there."""

    @property
    def succeeded(self) -> bool:
        """Whether the image was copied and, if that was requested, verified."""
        return self.error is None

    def require(self) -> 'ImageDone':
        """Return itself; raises the error, if there is one."""
        if self.error:
            raise self.error
        return self


def run_order(order: ImageOrder, settings: Settings, layer_cache: str | None = None) -> ImageDone:
    """Copy and verify the image of an order as `process` does, and return what became of it.

    `settings.verify` is the level of verification. Connections, tokens and logins stay in `settings.shared` for the
    next order, until that is closed; a caller that lives long closes it every few minutes, at any time, so that changed
    logins are seen. What a run has found at a destination, such as blobs that are there, is never kept, as it may be
    gone by the next order. `layer_cache` is a file with results of filters for layers. May be called by several
    threads. Failures are in the result; raises Cancelled if `settings.cancellation` is set.
    """
    plugins = _plugins(settings)
    try:
        _require_no_secrets(plugins, order)
        report = _copied(plugins, order, _own(settings), layer_cache)
    except Exception as failure:  # whatever it is, it must be able to travel
        return ImageDone(order, error=_known(failure, plugins))
    outcome, receipt = report.outcome.value if report.outcome else '', report.recorded
    digest = str(receipt.manifest_digest or '') if receipt else ''
    return ImageDone(order, outcome, report.to_json(), receipt.to_json() if receipt else '', digest,
                     _failure_of(report))


def require_possible(order: ImageOrder, settings: Settings) -> None:
    """Raise UsageError for an order that never succeeds: by an unknown scheme, filter or option, or a secret in it."""
    from occystrap_core.plugins.resolver import open_filters
    plugins = _plugins(settings)
    _require_no_secrets(plugins, order)
    settings.choosing(order.platform)
    open_filters(plugins, order.filters, settings)


def _copied(plugins: 'Plugins', order: ImageOrder, settings: Settings, layer_cache: str | None) -> 'ImageReport':
    """Return the report on the one image of an order; raises as Run does, and UsageError if there are several."""
    from occystrap_core.report.progress import Progress
    from occystrap_core.pipeline.run import Run
    run = Run(plugins, settings.choosing(order.platform), settings.verify, Progress(), layer_cache=layer_cache,
              of_one_image=True)
    images = run.process(order.source, order.destination, order.filters).images
    if not images:
        raise ImageNotFound(f'{order.source} names no image')
    return images[0]


def _own(settings: Settings) -> Settings:
    """Return settings for one order, which shares with others what stays true."""
    return replace(settings, shared=Shared(settings.shared), cancellation=settings.cancellation.child(),
                   requests=RequestStats(), names=NameMemory())


def _plugins(settings: Settings) -> 'Plugins':
    from occystrap_core.plugins.manager import Plugins, build_plugin_manager
    return settings.shared.lasting.get(Plugins, build_plugin_manager)


def _known(failure: Exception, plugins: 'Plugins') -> OccystrapError:
    """Return a failure as an error of the public API, which can be pickled."""
    from occystrap_core.pipeline.index_copy import NotFiltered
    from occystrap_core.report.image_report import failure_text
    if isinstance(failure, NotFiltered):
        return NothingToFilter(str(failure))
    if isinstance(failure, OccystrapError) and type(failure).__module__ == OccystrapError.__module__:
        return failure.with_traceback(None)
    kind = next((each for each in type(failure).__mro__ if each.__module__ == OccystrapError.__module__
                 and issubclass(each, OccystrapError)), OutputError if isinstance(failure, OSError) else OccystrapError)
    return kind(failure_text(failure, plugins))


def _failure_of(report: 'ImageReport') -> OccystrapError | None:
    """Return why an image that was copied is not proved to be there; None if it is, or need not be."""
    from occystrap_core.verification.results import Outcome
    if report.succeeded:
        return None
    found = '; '.join(f'{each.item}: {each.message}' for each in report.findings)
    if report.outcome is Outcome.UNVERIFIED:
        return ServiceUnavailable(f'{report.destination} is not verified: {report.failure or found}')
    return OutputError(report.failure or f'{report.destination} is not what was written: {found}')


def _require_no_secrets(plugins: 'Plugins', order: ImageOrder) -> None:
    from occystrap_core.api.schemes import InputScheme, WriterScheme
    from occystrap_core.plugins.resolver import destination_location, source_location
    source = source_location(plugins, order.source)
    destination = destination_location(plugins, order.destination)
    _require_none_in(source, plugins.find(InputScheme, source.scheme))
    _require_none_in(destination, plugins.find(WriterScheme, destination.scheme))


def _require_none_in(location: 'Location', scheme: 'InputScheme | WriterScheme') -> None:
    from occystrap_core.api.uri import without_login
    secret = any(location.options.get(each.name) for each in scheme.options if each.secret)
    if secret or without_login(location.path) != location.path:
        raise UsageError(f'{location} has a login in it, which an order must not hold: log in where it is executed, '
                         'with occystrap login')
