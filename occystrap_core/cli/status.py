"""The command `status`: compares a mirror with its source, and moves nothing."""
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from occystrap_core.api.options import OptionType
from occystrap_core.cli.common import common, load_plugins
from occystrap_core.cli.completion import complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.mirror.mirror_status import MirroredImage, State, mirror_status
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_json, print_lines, print_message


@click.command(short_help='Compare a mirror with its source.')
@click.argument('source', shell_complete=complete_uri)
@click.argument('destination', metavar='DEST', required=False, shell_complete=complete_uri)
@click.option('-f', '--filter', 'filters', multiple=True, metavar='NAME:KEY=VALUE,…',
              help='The filters of the run that made the mirror.')
@click.option('--platform', help='The platforms of the run that made the mirror.')
@click.option('--receipt', type=click.Path(exists=True, dir_okay=False), metavar='FILE',
              help='The receipts of the mirror, if it keeps none itself.')
@click.option('-J', '--images', type=OptionType.whole(1, 64), default=4, show_default=True,
              help='Number of images compared in parallel.')
@network_options
@click.pass_context
def status(context: click.Context, /, source: str, destination: str | None, filters: Sequence[str],
           platform: str | None, receipt: str | None, images: int, **network: Any) -> None:
    """Show which images of a mirror are current, stale, missing, extra or unreachable.

    SOURCE and DEST are those of process. The source is asked what each name means now, the destination is verified
    fast, nothing is moved. The exit code is 1 unless all are current.
    """
    settings = Settings(images=images, debug=common(context).debug, **network_settings(network))
    found = mirror_status(load_plugins(context), settings.choosing(platform), source,
                          destination, filters, read_receipts(receipt) if receipt else ())
    counts = Counter(each.state for each in found)
    if common(context).format == 'json':
        print_json({'images': [each.to_json() for each in found],
                    'counts': {state.value: counts[state] for state in State}})
    else:
        print_lines(_lines(found))
    parts = [f'{counts[State.CURRENT]}/{len(found)} current',
             *(f'{counts[state]} {state.value}' for state in State if state is not State.CURRENT and counts[state])]
    print_message(f'Summary: {", ".join(parts)}')
    context.exit(0 if found and counts[State.CURRENT] == len(found) else 1)


def _lines(found: Sequence[MirroredImage]) -> list[str]:
    """Return a table, the images that are not current first."""
    ordered = sorted(found, key=lambda each: each.state is State.CURRENT)
    wide = max((len(each.reference) for each in ordered), default=0)
    return [f'{each.state.value:<11}  {each.reference:<{wide}}  {each.reason or each.destination}'.rstrip()
            for each in ordered]
