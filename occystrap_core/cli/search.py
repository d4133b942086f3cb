"""The command `search`: finds entries in layers, and which version of each counts."""
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from occystrap_core.api.options import OptionType
from occystrap_core.cli.common import common, load_plugins, names_option
from occystrap_core.cli.completion import complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.name_memory import NameMemory
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json, print_lines, print_message
from occystrap_core.terminal_text import images_text

if TYPE_CHECKING:
    from occystrap_core.image.image import Content
    from occystrap_core.pipeline.inspection import ReadImage
    from occystrap_core.report.progress import Advance
    from occystrap_core.search.image_search import Match
    from occystrap_core.search.matcher import Matches

    Found = list[tuple[str, list[Match]]]
    """For each image its platform and its matches."""


@click.command(short_help='Find files in the layers of images.')
@click.argument('source', shell_complete=complete_uri)
@click.argument('pattern')
@click.option('--regex', is_flag=True, help='PATTERN is a regular expression, which may match anywhere in the path.')
@click.option('--script-friendly', is_flag=True, help='Lines of the form image:tag:layer:path.')
@click.option('--platform', help='Platform of a multi-platform image, or all (default: that of this machine).')
@click.option('-j', '--jobs', type=OptionType.whole(1, 64), help='Number of layers read in parallel.')
@names_option
@network_options
@click.pass_context
def search(context: click.Context, /, source: str, pattern: str, regex: bool, script_friendly: bool,
           platform: str | None, jobs: int | None, max_names: NameMemory, **network: Any) -> None:
    """Find in the layers of SOURCE the entries whose path matches PATTERN: a glob, or several with commas.

    `*.conf` matches at any depth, `/etc/*.conf` from the root. Each match is shown with its layer, 0 for the lowest,
    and whether it is visible in the image, or shadowed or deleted by a layer above.
    """
    from occystrap_core.pipeline.inspection import read_images
    from occystrap_core.report.progress_kinds import progress_for
    from occystrap_core.search.matcher import matcher
    settings = Settings(debug=common(context).debug, names=max_names, **network_settings(network))
    settings = settings.choosing(platform)
    settings = settings.with_jobs(jobs or max(2, len(os.sched_getaffinity(0))))  # one layer keeps a core busy
    matches = matcher(pattern, regex, settings)
    started = time.monotonic()
    images = read_images(load_plugins(context), settings, source,
                         lambda content, chosen, advance: _search(matches, content, chosen, advance),
                         progress_for(quiet=common(context).quiet))
    if common(context).format == 'json':
        print_json({'images': [_as_json(image) for image in images]})
    else:
        _show(images, script_friendly)
    failed = [image for image in images if image.report.failure]
    print_message(_summary(images, len(failed), time.monotonic() - started))
    context.exit(1 if failed else 0)


def _search(matches: 'Matches', content: 'Content', settings: Settings, advance: 'Advance') -> 'Found':
    from occystrap_core.pipeline.inspection import images_of, read_layers
    from occystrap_core.search.image_search import ImageSearch, search_layer
    found: 'Found' = []
    for image in images_of(content):
        searched = ImageSearch(matches, settings.names)
        read_layers(image, settings, partial(search_layer, searched), advance)
        found.append((str(image.config.platform), searched.results(image.diff_ids)))
    return found


def _show(images: list['ReadImage[Found]'], script_friendly: bool) -> None:
    from occystrap_core.search.match_lines import LONGEST_PATH, lines, script_lines
    for image in images:
        found = image.result or []
        for platform, matches in found:
            assert image.reference
            if script_friendly:
                text = script_lines(image.reference, matches)
            else:
                text = lines(matches)
                if len(images) + len(found) > 2:
                    print_lines([image.name + (f' {platform}' if len(found) > 1 else '')])
            print_lines(text, LONGEST_PATH)
        if image.report.failure and len(images) > 1:
            print_message(image.report.line())


def _as_json(image: 'ReadImage[Found]') -> dict[str, Any]:
    from occystrap_core.search.match_lines import to_json
    return {'reference': image.name, 'failure': image.report.failure or None,
            'found': [{'platform': platform, 'matches': [partial(to_json, match) for match in matches]}
                      for platform, matches in image.result or []]}


def _summary(images: list['ReadImage[Found]'], failed: int, seconds: float) -> str:
    from occystrap_core.search.match_lines import found_text
    matches = [match for image in images for _, found in image.result or [] for match in found]
    failures = f', {failed} FAILED' if failed else ''
    return f'Summary: {images_text(len(images) - failed, len(images))}, {found_text(matches)}, {seconds:.1f}s{failures}'
