"""Verifying all images of a destination against what the source has now."""
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial

from occystrap_core.daemon_threads import DaemonThreads, completed
from occystrap_core.mirror.counterparts import counterparts_at, counterparts_filled, counterparts_of, fields_of
from occystrap_core.mirror.source_check import compare
from occystrap_core.mirror.source_receipt import Counterpart
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport, layers_of
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.receipt import Receipt


def verify_against(plugins: Plugins, source: str, target: str, receipts: Sequence[Receipt] | None, report: RunReport,
                   settings: Settings) -> None:
    """Add the verdict on each image of a destination, or of receipts if there are any, to a report.

    Raises UsageError, and the error of a single source that cannot be listed.
    """
    started = time.monotonic()
    with closing(settings.shared), ExitStack() as stack:
        if written := fields_of(plugins, source):
            found = counterparts_filled(plugins, settings, written, target, receipts, stack)
        elif receipts is None:
            found = counterparts_at(plugins, settings, source, target, stack)
        else:
            found = counterparts_of(plugins, settings, source, receipts, stack)
        report.images = [ImageReport(str(each.reference), f'{each.location.scheme}://{each.location.path}',
                                     verb='verified') for each in found.pairs]
        threads = DaemonThreads(max(1, min(settings.images, len(found.pairs))), 'verification')
        with closing(threads):
            futures = [threads.submit(partial(_look, plugins, pair, image, report.level))
                       for pair, image in zip(found.pairs, report.images, strict=True)]
            for future in completed(futures, settings.cancellation.check):
                future.result()
        report.images += found.single
    report.seconds = time.monotonic() - started


def _look(plugins: Plugins, pair: Counterpart, image: ImageReport, level: VerifyLevel) -> None:
    started = time.monotonic()
    verdict, image.receipt, image.notes = compare(plugins, pair, level)
    image.judged(verdict)
    image.looks = verdict.to_json()
    image.seconds = time.monotonic() - started
    if image.receipt:
        image.layers = layers_of(image.receipt)
        image.size = sum(max(0, each.size) for each in image.receipt.of_kind('layer'))
