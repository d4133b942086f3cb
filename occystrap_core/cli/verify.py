"""The command `verify`: checks a destination against the receipts of an earlier run, without the source."""
import errno
import os
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import click

from occystrap_core.api.options import OptionType
from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.api.uri import parse_uri, redact
from occystrap_core.cli.common import common, load_plugins
from occystrap_core.cli.completion import complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.cli.option_order import VerifyCommand, verify_level
from occystrap_core.cli.report_option import report_files, report_option, reported_if_stopped, spare_places
from occystrap_core.daemon_threads import DaemonThreads, completed
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import destination_location
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.moved_receipts import one_place_note, receipts_at, receipts_beside, unchecked_note
from occystrap_core.receipts.receipt_lines import read_receipts, require_digest
from occystrap_core.receipts.uncovered_images import digests_of, uncovered_images
from occystrap_core.report.image_report import ImageReport, layers_of
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings, VerifyLevel, default_jobs
from occystrap_core.verification.receipt import KeptReceipts, Receipt
from occystrap_core.verification.results import CheckResult, Outcome, Severity

if TYPE_CHECKING:
    from occystrap_core.report.report_files import ReportFiles

_IMAGES = {VerifyLevel.FAST: 32, VerifyLevel.FULL: 8}
"""Images verified in parallel: looking is mostly waiting for answers; a daemon exports each image that is read."""


@click.command(cls=VerifyCommand, short_help='Verify what an earlier run wrote.')
@click.argument('target', shell_complete=complete_uri)
@click.option('--verify', '--level', 'level', type=click.Choice(['fast', 'full']), metavar='[=fast|full]',
              help='fast looks at existence, sizes and small documents; full hashes every byte.')
@click.option('--full', 'level', flag_value='full', help='The same as --verify=full.')
@click.option('--at', metavar='URI', shell_complete=complete_uri,
              help='Where the images are now, if not where the receipts say: layout:///mnt/usb, '
              'registry://other.example/{repository}:{tag}, tar://bundle.tar?format=oci.')
@click.option('--against', metavar='SOURCE', shell_complete=complete_uri, help='Compare with what SOURCE has now, as '
              'status does, and verify: registry://S/app:v1, a pattern, a list, registry://S/{repository}:{tag}.')
@click.option('--platform', help='With --against: the platforms of the run that copied.')
@click.option('--expect', metavar='SHA256', help='The digest of the file of receipts, as process printed it: another '
              'file is refused.')
@click.option('-j', '--jobs', type=OptionType.whole(1, 64), help='Number of layers hashed in parallel.')
@click.option('-J', '--images', type=OptionType.whole(1, 64),
              help='Number of images verified in parallel (default: 32; --full: 8).')
@report_option
@network_options
@click.pass_context
def verify(context: click.Context, /, target: str, level: str | None, at: str | None, against: str | None,
           platform: str | None, expect: str | None, jobs: int | None, images: int | None, reports: Sequence[str],
           **network: Any) -> None:
    """Verify what an earlier run wrote, by its receipt or against its source.

    TARGET is a receipt (written with process --receipt FILE) or a destination that keeps its own, such as dir://PATH;
    layout://PATH?image=NAME is one image of it, or those that a pattern matches.
    A receipt file that was carried elsewhere finds what lies beside it; --at names any other place, also of another
    kind, if it keeps the same manifests and blobs, or tars of layers.
    With --against SOURCE the source's manifests say what to expect; TARGET is a receipt, or a destination as process
    takes it. An image that differs from the source fails; it is unverified if the source cannot be asked.
    """
    from occystrap_core.cli.output import show
    verify = verify_level(level)
    files = report_files('verify', reports)
    if verify is VerifyLevel.NONE:
        raise UsageError('OCCYSTRAP_VERIFY=none leaves nothing to verify: use --verify=fast or --verify=full')
    plugins = load_plugins(context)
    images = images or _IMAGES[verify]
    settings = Settings(jobs=jobs or default_jobs(), images=images, debug=common(context).debug,
                        **network_settings(network))
    if against:
        _show_against(context, plugins, against, target, verify, settings.choosing(platform), at, expect, files)
    if platform:
        raise UsageError('--platform is for --against SOURCE: a receipt says which platforms it is for')
    kept, written = _kept(plugins, target, at, expect)
    spare_places(files, plugins, common(context), target, [each.destination for each in kept.receipts])
    report = RunReport(verify, settings.requests)
    with reported_if_stopped(files, common(context), report.stopped_json):
        verify_all(plugins, kept.receipts, verify, settings, report)
    for image, before in zip(report.images, written):
        image.written_to = before.destination if before.destination != image.destination else ''
    if written and not at:
        report.notes += unchecked_note(written, kept.receipts)
    place = kept.receipts[0].destination if kept.receipts else redact(target)
    report.images += [_unproved(place, name, reason) for name, reason in kept.unproved]
    if at or expect or any(image.written_to for image in report.images):
        failed = {digest for image in report.images if image.receipt and image.outcome is not Outcome.VERIFIED
                  for digest in digests_of(image.receipt)}
        report.images += [_unproved(*each) for each in uncovered_images(plugins, kept.receipts, failed, settings)
                          if each.name or not failed]
    if at and not report.succeeded:
        report.notes += one_place_note(plugins, kept.receipts, at)
    reported = show(report, common(context), evidence=True, files=files)
    context.exit(0 if report.succeeded and reported else 1)


def _show_against(context: click.Context, plugins: Plugins, source: str, target: str, level: VerifyLevel,
                  settings: Settings, at: str | None, expect: str | None, files: 'ReportFiles | None') -> NoReturn:
    """Compare with the source, show the result, and end the command."""
    from occystrap_core.cli.output import show
    from occystrap_core.mirror.against_source import verify_against  # late, as few runs need it
    is_file = '://' not in target and not os.path.isdir(target)
    receipts = _kept(plugins, target, at, expect)[0].receipts if is_file or at or expect else None
    spare_places(files, plugins, common(context), target, [source, *(each.destination for each in receipts or ())])
    report = RunReport(level, settings.requests)
    with reported_if_stopped(files, common(context), report.stopped_json):
        verify_against(plugins, source, target, receipts, report, settings)
    reported = show(report, common(context), evidence=True, files=files)
    context.exit(0 if report.succeeded and reported else 1)


def verify_all(plugins: Plugins, receipts: Sequence[Receipt], level: VerifyLevel, settings: Settings,
               report: RunReport) -> None:
    """Add the verdict on each receipt's image to a report."""
    began = time.monotonic()
    threads = DaemonThreads(max(1, min(settings.images, len(receipts))), 'verification')
    report.images = [_described(receipt) for receipt in receipts]
    report.notes += _seal_note(receipts)

    def look_at(image: ImageReport) -> None:
        assert image.receipt
        started = time.monotonic()
        verdict = verify_receipt(plugins, image.receipt, level, settings)
        image.judged(verdict)
        image.looks = verdict.to_json()
        image.seconds = time.monotonic() - started
    with closing(settings.shared), closing(threads):
        for future in completed([threads.submit(partial(look_at, image)) for image in list(report.images)],
                                settings.cancellation.check):
            future.result()
    report.seconds = time.monotonic() - began


def _described(receipt: Receipt) -> ImageReport:
    return ImageReport(receipt.reference, receipt.destination, layers_of(receipt),
                       sum(max(0, each.size) for each in receipt.of_kind('layer')), receipt, verb='verified')


def _seal_note(receipts: Sequence[Receipt]) -> list[str]:
    """Return a note if there are receipts without a seal."""
    unsealed = [each.reference for each in receipts if not each.sealed]
    if len(unsealed) > 1:
        return [f'{len(unsealed)} receipts are of an earlier version, without a seal']
    return [f'the receipt of {reference} is of an earlier version, without a seal' for reference in unsealed]


def _kept(plugins: Plugins, target: str, at: str | None, expect: str | None) -> tuple[KeptReceipts, Sequence[Receipt]]:
    """Return the receipts in a file, for where they are looked for, or those that a destination keeps; and the former
    as they were written.

    Raises UsageError if there are none.
    """
    if '://' not in target and os.path.isdir(target):
        target = str(destination_location(plugins, Place.absolute(target)))
    if '://' not in target:
        receipts = read_receipts(target, expected=require_digest(target, expect) if expect else None)
        moved = receipts_at(plugins, receipts, at) if at else receipts_beside(target, receipts)
        return KeptReceipts(moved, ()), receipts
    if at or expect:
        raise UsageError(f'--{"at" if at else "expect"} is for a file of receipts: {redact(target)} is a destination')
    location = parse_uri(target)
    scheme = plugins.find(WriterScheme, location.scheme)
    kept: KeptReceipts = load(scheme.kept_receipts)(location) if scheme.kept_receipts else KeptReceipts((), ())
    if not kept.receipts and not kept.unproved:
        nothing = ', and nothing is there' if scheme.completion == 'files' and _is_gone(location.path) else ''
        raise UsageError(f'{redact(target)} keeps no receipt{nothing}: give the file that process --receipt wrote, or '
                         'compare with --against SOURCE')
    return kept, ()


def _is_gone(path: str) -> bool:
    """Return whether nothing is at a path; False if that is unknown, as below a directory that may not be entered."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


def _unproved(target: str, name: str, reason: str) -> ImageReport:
    return ImageReport(name or target, target, outcome=Outcome.UNVERIFIED,
                       findings=(CheckResult(Severity.UNVERIFIED, name, reason),))
