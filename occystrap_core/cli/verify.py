"""The command `verify`: holds a destination against the receipt of an earlier run, reprocessing nothing."""
import os
import re
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from occystrap_core.cli.common import common, common_options
from occystrap_core.cli.loading import load_plugins
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.cli.process import VerifyCommand, verify_level
from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference
from occystrap_core.pipeline.daemon_threads import DaemonThreads, completed
from occystrap_core.pipeline.receipt_file import read_receipts
from occystrap_core.pipeline.report import ImageReport, RunReport
from occystrap_core.plugins import Plugins
from occystrap_core.settings import Settings, default_jobs
from occystrap_core.uri import parse_uri, redact
from occystrap_core.verification.levels import VerifyLevel
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.verifying import verify_receipt

KEPT = '.occystrap/receipts'
"""Where destinations that are folders keep the receipts of the images in them."""


@click.command(cls=VerifyCommand, short_help='Verify what an earlier run wrote.')
@click.argument('target')
@click.option('--verify', '--level', 'level', type=click.Choice(['fast', 'full']), metavar='[=fast|full]',
              help='fast looks at existence, sizes and small documents; full hashes every byte.')
@click.option('--full', 'level', flag_value='full', help='The same as --verify=full.')
@click.option('-j', '--jobs', type=click.IntRange(1, 64), help='Layers hashed at once.')
@click.option('-J', '--images', type=click.IntRange(1, 64), default=4, show_default=True,
              help='Images verified at once.')
@network_options
@common_options
@click.pass_context
def verify(context: click.Context, /, target: str, level: str | None, jobs: int | None, images: int, **network: Any,
           ) -> None:
    """Verify what an earlier run wrote, from its receipt.

    TARGET is a receipt (written with process --receipt FILE) or a destination that keeps its own, such as dir://PATH.
    """
    from occystrap_core.cli.reporting import show
    wanted = verify_level(level)
    if wanted is VerifyLevel.NONE:
        raise UsageError('OCCYSTRAP_VERIFY=none leaves nothing to verify: give --verify=fast or --verify=full')
    receipts = _receipts(target)
    settings = Settings(jobs=jobs or default_jobs(), images=images, debug=common(context).debug,
                        **network_settings(network))
    report = verify_all(load_plugins(context), receipts, wanted, settings)
    show(report, common(context), evidence=True)
    context.exit(0 if report.succeeded else 1)


def verify_all(plugins: Plugins, receipts: list[Receipt], level: VerifyLevel, settings: Settings) -> RunReport:
    """Return what verification says of each receipt's image."""
    started = time.monotonic()
    report = RunReport(level, settings.requests)
    threads = DaemonThreads(min(settings.images, len(receipts)), 'verification')
    report.images = [_described(receipt) for receipt in receipts]

    def look_at(image: ImageReport) -> None:
        assert image.receipt
        verdict = verify_receipt(plugins, image.receipt, level, settings)
        image.judged(verdict)
        image.looks = verdict.to_json()
    with closing(settings.shared), closing(threads):
        for future in completed([threads.submit(partial(look_at, image)) for image in report.images],
                                settings.cancellation.check):
            future.result()
    report.seconds = time.monotonic() - started
    return report


def _described(receipt: Receipt) -> ImageReport:
    return ImageReport(receipt.reference, receipt.destination, len(receipt.diff_ids),
                       sum(each.size for each in receipt.of_kind('layer')), receipt)


def _receipts(target: str) -> list[Receipt]:
    if '://' not in target:
        return read_receipts(target)
    folder, name = _folder_and_name(parse_uri(target).path)
    kept = sorted(Path(folder, KEPT).glob('*.json')) if Path(folder).is_dir() else []
    receipts = [receipt for file in kept for receipt in read_receipts(str(file)) if _is_called(receipt, name)]
    if not receipts:
        of_it = f' of {name!r}' if kept else 's'
        raise UsageError(f'{redact(target)} keeps no receipt{of_it}: name the file that process --receipt wrote')
    moved_here = os.path.abspath(folder)
    return [replace(receipt, path=moved_here) for receipt in receipts]


def _folder_and_name(path: str) -> tuple[str, str]:
    """Return a folder and the name of an image in it: what is behind a colon, or an @, of a path that is no folder."""
    named = re.fullmatch(r'(.*?)(?::([^/:@]+))?(?:@([^/@]+))?', path, re.DOTALL)
    if os.path.isdir(path) or not named:
        return path, ''
    return named[1], named[3] or named[2] or ''


def _is_called(receipt: Receipt, name: str) -> bool:
    tag = receipt.options.get('tag') or Reference.parse(receipt.reference).tag
    return name in ('', tag, str(receipt.manifest_digest))
