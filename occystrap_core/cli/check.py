"""The command `check`: checks images against the rules of their format."""
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from occystrap_core.api.options import OptionType
from occystrap_core.cli.common import common, load_plugins, names_option
from occystrap_core.cli.completion import complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.cli.report_option import (
    report_files, report_option, reported_if_stopped, spare_places, write_reports,
)
from occystrap_core.name_memory import NameMemory
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json, print_lines, print_message
from occystrap_core.terminal_text import counted, images_text

if TYPE_CHECKING:
    from occystrap_core.checks.findings import Finding, Findings
    from occystrap_core.image.image import Content
    from occystrap_core.pipeline.inspection import ReadImage
    from occystrap_core.report.progress import Advance


@click.command(short_help='Check images against the rules of their format.')
@click.argument('source', shell_complete=complete_uri)
@click.option('--fast', is_flag=True, help='Check metadata and the first bytes of each blob only; read no layers.')
@click.option('--platform', help='Platform of a multi-platform image, or all (default: that of this machine).')
@click.option('-j', '--jobs', type=OptionType.whole(1, 64), help='Number of layers read in parallel.')
@report_option
@names_option
@network_options
@click.pass_context
def check(context: click.Context, /, source: str, fast: bool, platform: str | None, jobs: int | None,
          max_names: NameMemory, reports: Sequence[str], **network: Any) -> None:
    """Check the images at SOURCE against the rules of their format, and report each rule that is broken.

    Manifest, config, history and layers are compared with each other; each layer is read: digests, sizes, the tar,
    paths that escape, whiteouts, PAX records. docs/checks.md explains each rule. The exit code is 1 if there is an
    error, 0 if there are warnings alone.
    """
    from occystrap_core.checks.findings import of_error
    from occystrap_core.pipeline.inspection import read_images
    from occystrap_core.report.progress_kinds import progress_for
    settings = Settings(debug=common(context).debug, names=max_names, **network_settings(network))
    settings = settings.choosing(platform)
    settings = settings.with_jobs(jobs) if jobs else settings
    files, plugins, started = report_files('check', reports), load_plugins(context), time.monotonic()
    spare_places(files, plugins, common(context), source)
    images: list[ReadImage[Findings]] = []
    with reported_if_stopped(files, common(context), lambda why: _document(images, started, why)):
        read_images(plugins, settings, source,
                    lambda content, chosen, advance: _checked(content, chosen, advance, fast),
                    progress_for(quiet=common(context).quiet), of_error, images)
    document = _document(images, started)
    if common(context).format == 'json':
        print_json(document)
    else:
        print_lines(_lines(images))
    if failed := write_reports(files, lambda: document):
        print_message(f'occystrap: error: {failed}')
    print_message(document['summary'])
    context.exit(0 if document['succeeded'] and not failed else 1)


def _document(images: 'list[ReadImage[Findings]]', started: float, error: str = '') -> dict[str, Any]:
    """Return the result for programs; `error` is why the command ended early, also for images without a result."""
    images = [image for image in images if not image.report.left_out]
    for image in images:
        if error and not image.result:
            image.report.failure = image.report.failure or error
    seconds = time.monotonic() - started
    summary, good = _summary(images, seconds)
    return {'succeeded': good and not error, 'seconds': round(seconds, 3), 'summary': summary,
            **({'error': error} if error else {}), 'images': [
                {'reference': image.name, 'layers': image.report.layers, 'bytes': image.report.size,
                 'seconds': round(image.report.seconds, 3), 'failure': image.report.failure or None,
                 'findings': [each.to_json() for each in _findings(image)]} for image in images]}


def _checked(content: 'Content', settings: Settings, advance: 'Advance', fast: bool) -> 'Findings':
    from occystrap_core.checks.image_check import check_content
    return check_content(content, settings, advance, fast)


def _findings(image: 'ReadImage[Findings]') -> 'list[Finding]':
    return list(image.result.all()) if image.result else []


def _lines(images: 'list[ReadImage[Findings]]') -> Iterator[str]:
    for image in images:
        if len(images) > 1 and (image.report.failure or _findings(image)):
            yield image.report.line() if image.report.failure else image.name
        for each in _findings(image):
            where = '' if each.layer is None else f'layer {each.layer}'
            where += f' {each.digest.hex[:12]}' if each.digest else ''
            parts = [where, each.path, each.message]
            yield f'{each.level.value:<7} {each.rule:<24} ' + ': '.join(part for part in parts if part)


def _summary(images: 'list[ReadImage[Findings]]', seconds: float) -> tuple[str, bool]:
    """Return the last line, and whether there are no errors."""
    levels = [each.level.value for image in images for each in _findings(image)]
    errors, warnings = levels.count('error'), levels.count('warning')
    failed = sum(bool(image.report.failure) for image in images)
    layers = sum(image.report.layers for image in images)
    text = (f'Summary: {images_text(len(images) - failed, len(images))} checked, {counted(layers, "layer")}, '
            f'{counted(errors, "error")}, {counted(warnings, "warning")}, {seconds:.1f}s')
    return text + (f', {failed} FAILED' if failed else ''), not failed and not errors
