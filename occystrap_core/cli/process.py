"""The command `process`: the main job."""
import os
from typing import Any

import click

from occystrap_core.cli.common import Common, common, common_options
from occystrap_core.cli.loading import load_plugins
from occystrap_core.cli.completion import complete_filter, complete_uri
from occystrap_core.errors import UsageError
from occystrap_core.oci.platform import Platform
from occystrap_core.settings import Settings
from occystrap_core.verification.levels import VerifyLevel

_LEVELS = click.Choice([level.value for level in VerifyLevel])


class VerifyCommand(click.Command):
    """A command whose `--verify` takes a level only behind `=`, so that it never swallows an argument."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse after `--verify` alone was spelt out."""
        end = args.index('--') if '--' in args else len(args)
        spelt = ['--verify=fast' if arg == '--verify' else arg for arg in args[:end]]
        return super().parse_args(context, spelt + args[end:])


def verify_level(given: str | None) -> VerifyLevel:
    """Return the level asked for by option, else by OCCYSTRAP_VERIFY, else FAST; raises UsageError."""
    text = given or os.environ.get('OCCYSTRAP_VERIFY') or 'fast'
    try:
        return VerifyLevel(text.lower())
    except ValueError:
        raise UsageError(f'OCCYSTRAP_VERIFY={text} is not a level: none, fast or full is wanted') from None


@click.command(cls=VerifyCommand, short_help='Move an image through filters, and verify.')
@click.argument('source', shell_complete=complete_uri)
@click.argument('destination', metavar='DEST', shell_complete=complete_uri)
@click.option('-f', '--filter', 'filters', multiple=True, metavar='NAME:KEY=VALUE,…', shell_complete=complete_filter,
              help='Change the image on its way; may be given several times.')
@click.option('--verify', 'level', type=_LEVELS, metavar='[=fast|full|none]',
              help='Read back what was written (default: fast; OCCYSTRAP_VERIFY). full hashes every byte.')
@click.option('--no-verify', 'level', flag_value='none', help='Read nothing back.')
@click.option('-j', '--jobs', type=click.IntRange(1, 64), help='Layers moved at once.')
@click.option('--platform', help='What to take of a multi-platform image, such as linux/arm64 (default: this machine).')
@click.option('--receipt', 'receipt', type=click.Path(dir_okay=False), metavar='FILE',
              help='Write what must be at the destination, for occystrap verify.')
@click.option('--sync/--no-sync', default=True, help='Flush to the device before anything becomes visible.')
@click.option('--temp-dir', type=click.Path(exists=True, file_okay=False), help='Folder for spooled data.')
@click.option('--timeout', type=click.FloatRange(min=0.1), default=60.0, show_default=True, metavar='SECONDS',
              help='How long a server may stay silent.')
@click.option('--retries', type=click.IntRange(min=0), default=4, show_default=True,
              help='How often a failed request is tried again.')
@common_options
@click.pass_context
def process(context: click.Context, /, source: str, destination: str, filters: tuple[str, ...], level: str | None,
            receipt: str | None, **options: Any) -> None:
    """Move an image from SOURCE through filters to DEST, and verify what arrived there.

    SOURCE and DEST are URIs, scheme://path?option=value; `occystrap plugins` lists the schemes and their options.
    """
    from occystrap_core.pipeline.progress import progress_for
    from occystrap_core.pipeline.receipt_file import ReceiptFile
    from occystrap_core.pipeline.run import Run
    shared = common(context)
    wanted = verify_level(level)
    plugins = load_plugins(context)
    receipts = ReceiptFile(receipt) if receipt else None
    try:
        run = Run(plugins, _settings(shared, options, wanted), wanted, progress_for(quiet=shared.quiet), receipts)
        report = run.process(source, destination, filters)
    finally:
        if receipts:
            receipts.close()
    from occystrap_core.cli.reporting import show
    show(report, shared)
    context.exit(0 if report.succeeded else 1)


def _settings(shared: Common, options: dict[str, Any], level: VerifyLevel) -> Settings:
    """Return the settings that the options ask for."""
    given: dict[str, Any] = {'sync': options['sync'], 'timeout': options['timeout'], 'retries': options['retries'],
                             'debug': shared.debug, 'verify': level}
    if options['jobs']:
        given['jobs'] = options['jobs']
    if options['platform']:
        given['platform'] = Platform.parse(options['platform'])
    if options['temp_dir']:
        given['temporary'] = options['temp_dir']
    return Settings(**given)
