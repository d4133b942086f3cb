"""Showing a run's report: findings and summary on stderr, or JSON on stdout."""
from occystrap_core.cli.common import Common
from occystrap_core.pipeline.report import ImageReport, RunReport
from occystrap_core.terminal import print_json, print_message
from occystrap_core.verification.receipt import Evidence
from occystrap_core.verification.results import Severity, problems

_SHOWN = 20


def show(report: RunReport, shared: Common, evidence: bool = False) -> None:
    """Show what went wrong, name by name, and the summary last; `evidence` adds the weaker kind of proof."""
    if shared.format == 'json':
        print_json(report.to_json())
    for image in report.images:
        _show_image(image)
    if len(report.images) > 1:
        _show_failed(report)
    elif report.images and report.images[0].failure:
        print_message(f'{report.images[0].destination}: error: {report.images[0].failure}')
    if evidence and any(image.receipt and image.receipt.evidence is Evidence.DESCRIPTOR for image in report.images):
        print_message('evidence: descriptor (some blobs were already there when the image was written; '
                      'their digests are taken from its manifest)')
    print_message(report.summary())


def _show_image(image: ImageReport) -> None:
    for note in image.notes:
        print_message(f'note: {note}')
    worth = [each for each in image.findings if each.severity is not Severity.INFO]
    for each in worth[:_SHOWN]:
        print_message(f'{image.destination}: {each.severity.value}: {each}')
    if len(worth) > _SHOWN:
        print_message(f'{image.destination}: … and {len(worth) - _SHOWN} more')


def _show_failed(report: RunReport) -> None:
    failed = [image for image in report.images if not image.succeeded]
    for image in failed:
        reason = image.failure or next((str(each) for each in problems(image.findings)), '')
        print_message(f'FAILED {image.reference}: {reason}')
    if not failed:
        print_message('No failed images.')
