"""`process --dry-run`: what would be copied, on stdout."""
from collections.abc import Sequence

from occystrap_core.cli.common import Common
from occystrap_core.pipeline.dry_run import foresee
from occystrap_core.plugins import Plugins
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json, print_lines, print_message
from occystrap_core.terminal_text import size_text


def rehearse(plugins: Plugins, settings: Settings, source: str, destination: str | None, filters: Sequence[str],
             shared: Common) -> int:
    """Show what a run would do; returns the exit code, 1 if something would fail."""
    found = foresee(plugins, settings, source, destination, filters)
    if shared.format == 'json':
        print_json({'dry_run': True, 'images': [each.to_json() for each in found]})
    else:
        print_lines(each.line() for each in found)
    good = [each for each in found if not each.failure]
    layers, there = sum(each.layers for each in good), sum(each.layers_there for each in good)
    size = sum((each.size or 0) - each.size_there for each in good)
    failed = f', {len(found) - len(good)} would FAIL' if len(good) < len(found) else ''
    print_message(f'Dry run: {len(good)}/{len(found)} images, {layers} layers, {there} there already, at most '
                  f'{size_text(size)} to copy{failed}')
    return 1 if failed or not found else 0
