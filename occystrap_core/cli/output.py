"""Showing the result or the plan of a run: findings and summary on stderr, JSON and plans on stdout."""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from occystrap_core.cli.common import Common
from occystrap_core.cli.report_option import write_reports
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport, PrunedImage
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import print_notes
from occystrap_core.terminal import print_json, print_lines, print_message
from occystrap_core.verification.expectation import Evidence
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import CheckResult, Outcome, Severity, problems

if TYPE_CHECKING:
    from occystrap_core.destinations.side_files import SideFiles
    from occystrap_core.report.report_files import ReportFiles
    from occystrap_core.tasks.image_task import ImageTask
    from occystrap_core.tasks.source_orders import Destinations
    from occystrap_core.tasks.task_list import TaskList


def show_plan(plugins: Plugins, settings: Settings, source: str, destination: 'Destinations', filters: Sequence[str],
              shared: Common, unchanged: 'Callable[[ImageTask], bool]', receipts: Sequence[Receipt],
              files: 'SideFiles', prunes: bool) -> int:
    """Show what a run would do, which leaves `unchanged` images, prunes by `receipts`, and writes `files` besides.

    If it `prunes`, all images must be known before the first is shown. Returns the exit code, 1 if something fails.
    """
    from occystrap_core.pipeline.dry_run import PlannedTotals, plan_copies  # late, as few runs need it
    from occystrap_core.tasks.task_list import WINDOW
    pruned: list[PrunedImage] = []

    def prune(todo: 'TaskList') -> None:
        from occystrap_core.mirror.pruned_images import prune_sources
        known = len(todo.notes)
        pruned.extend(prune_sources(plugins, settings, todo, receipts, dry_run=True))
        print_notes(todo.notes[known:])

    found = plan_copies(plugins, settings, source, destination, filters, unchanged, prune, files,
                        None if prunes or 'prune=' in source else WINDOW)
    totals = PlannedTotals()
    if shared.format == 'json':
        images = [each.to_json() for each in totals.counting(found)]
        print_json({'dry_run': True, 'images': images,
                    **({'pruned': [each.to_json() for each in pruned]} if pruned else {})})
    else:
        print_lines(each.line() for each in totals.counting(found))
        print_lines(each.line(dry_run=True) for each in pruned)
    stay = sum(bool(each.reason) for each in pruned)
    gone = f', {len(pruned) - stay} to prune' if pruned else ''
    print_message(f'Dry run: {totals.text(gone)}')
    return 1 if totals.failed or stay or not (totals.count or pruned) else 0


_SHOWN = 20
"""Findings of an image that are shown each."""


def show(report: RunReport, shared: Common, evidence: bool = False, files: 'ReportFiles | None' = None) -> bool:
    """Show what went wrong, image by image, and the summary last; `evidence` adds places and the weakest evidence.

    Returns whether the files of --report were written.
    """
    failed = write_reports(files, report.to_json)
    if shared.format == 'json':
        print_json(report.to_json())
    for note in report.notes:
        print_message(f'note: {note}')
    for image in report.images:
        _show_image(image)
    for pruned in report.pruned:
        print_message(pruned.line())
    if report.count > 1:
        _show_failed(report)
    elif report.images and report.images[0].failure:
        print_message(f'{report.images[0].destination}: error: {report.images[0].failure}')
    if evidence:
        print_message(f'Checked: {report.places()}')
    if evidence and any(image.receipt and image.receipt.evidence is Evidence.DESCRIPTOR for image in report.images):
        print_message('evidence: descriptor (some blobs were already there when the image was written; '
                      'their digests are taken from its manifest)')
    if report.receipts:
        print_message(f'Receipts: {report.receipts[0]}, {report.receipts[1]}')
    if resume := report.how_to_resume():
        print_message(resume)
    if failed:
        print_message(f'occystrap: error: {failed}')
    print_message(report.summary())
    return not failed


def _show_image(image: ImageReport) -> None:
    for note in image.notes:
        print_message(f'note: {note}')
    worth = _folded([each for each in image.findings if each.severity is not Severity.INFO])
    for each in worth[:_SHOWN]:
        print_message(f'{image.destination}: {each.severity.value}: {_finding(image, each)}')
    if len(worth) > _SHOWN:
        print_message(f'{image.destination}: … and {len(worth) - _SHOWN} more')


def _folded(findings: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the findings, one for all of which the same is said if these are too many to be shown; JSON has each."""
    alike: dict[tuple[Severity, str], list[CheckResult]] = {}
    for each in findings:
        alike.setdefault((each.severity, each.message), []).append(each)
    return [found for first, *others in alike.values()
            for found in ([first._replace(item=f'{first.item} and {len(others)} more')] if len(others) >= _SHOWN
                          else [first, *others])]


def _finding(image: ImageReport, finding: CheckResult) -> str:
    """Return a finding, without its item if that is the destination, which precedes it."""
    return finding.message if finding.item == image.destination else str(finding)


def _show_failed(report: RunReport) -> None:
    failed = [image for image in report.images if not image.succeeded]
    for image in failed:
        reason = image.failure or next((_finding(image, each) for each in problems(image.findings)), '')
        fate = 'UNVERIFIED' if image.status == Outcome.UNVERIFIED.value else 'FAILED'
        reason = reason.removeprefix(f'{image.reference} ').removeprefix(f'{image.name}: ')
        print_message(f'{fate} {image.name}: {reason}')
    if not failed:
        print_message('No failed images.')
