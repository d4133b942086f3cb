"""The command `process`: copies and verifies images."""
import os
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from occystrap_core.api.options import OptionType
from occystrap_core.cli.common import Common, common, load_plugins, names_option
from occystrap_core.cli.completion import complete_executor, complete_filter, complete_uri
from occystrap_core.cli.network_options import network_options, network_settings
from occystrap_core.cli.option_order import VerifyCommand, verify_level
from occystrap_core.cli.report_option import reason_text, report_files, report_option, write_reports
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.terminal import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from occystrap_core.api.schemes import ExecutorKind
    from occystrap_core.bulk.bulk_run import BulkRun
    from occystrap_core.oci.digest import Digest
    from occystrap_core.pipeline.run import Run
    from occystrap_core.receipts.receipt_file import ReceiptFile
    from occystrap_core.tasks.earlier_run import EarlierRun
    from occystrap_core.report.report_files import ReportFiles
    from occystrap_core.report.run_report import RunReport
    from occystrap_core.tasks.image_task import ImageTask
    from occystrap_core.verification.receipt import Receipt

_LEVELS = click.Choice([level.value for level in VerifyLevel])


@click.command(cls=VerifyCommand, short_help='Copy images, optionally through filters, and verify.')
@click.argument('source', shell_complete=complete_uri)
@click.argument('destinations', metavar='DEST…', nargs=-1, shell_complete=complete_uri)
@click.option('-f', '--filter', 'filters', multiple=True, metavar='NAME:KEY=VALUE,…', shell_complete=complete_filter,
              help='Filter for the image; may be given several times.')
@click.option('--verify', 'level', type=_LEVELS, metavar='[=fast|full|none]',
              help='Read back what was written (default: fast; OCCYSTRAP_VERIFY). full hashes every byte.')
@click.option('--no-verify', 'level', flag_value='none', help='Read nothing back.')
@click.option('--settle', type=OptionType.SECONDS, default=10.0, show_default=True, metavar='SECONDS',
              help='How long to wait for a registry that does not yet show what was pushed.')
@click.option('-j', '--jobs', type=OptionType.whole(1, 64), help='Number of layers copied in parallel, in total.')
@click.option('-J', '--images', type=OptionType.whole(1, 64), default=4, show_default=True,
              help='Number of images copied in parallel, if the source names several.')
@click.option('--platform', help='Platforms of a multi-platform image: linux/arm64, host for this machine\'s, a list '
              'with commas, or all (default: all where the destination holds indexes, else host).')
@click.option('--replace-index', is_flag=True,
              help='Let a single image replace an index of several platforms at the destination.')
@click.option('--dry-run', is_flag=True, help='Only show what would be copied, and what is already there.')
@click.option('--receipt', 'receipt', type=click.Path(dir_okay=False), metavar='FILE',
              help='Append a receipt of each image to this file, for occystrap verify: what was written, and the '
              'verdict.')
@click.option('--force', is_flag=True,
              help='Overwrite a file that is not an image archive (with --receipt: that holds no receipts), images of '
                   'other repositories, unpacked files that were changed after they were written, and in dir:// an '
                   'image of a registry by one whose name has no registry.')
@click.option('--resume', type=click.Path(dir_okay=False), metavar='FILE',
              help='Skip images that this receipt file of an earlier run lists, if they are still at the destination '
              'and unchanged at the source. Destinations that keep receipts or manifests need no file.')
@click.option('--refresh/--no-refresh', default=True,
              help='Ask the source for the current digest of each name, or trust the receipts without asking.')
@click.option('--since', type=click.Path(dir_okay=False), multiple=True, metavar='FILE',
              help='Write a delta: leave out layers that, by the verified receipts in this file, are already at the '
              'place that DEST will be carried to. DEST is an OCI archive or a layout. May be given several times.')
@click.option('--prune', is_flag=True, help='Delete images that earlier runs copied to the destination and that their '
              'source, which has prune=true, no longer has. Only if all images succeed.')
@click.option('--fail-fast', is_flag=True, help='Start no more images after one has failed.')
@click.option('--layer-cache', type=click.Path(dir_okay=False), metavar='FILE',
              help='File that keeps the results of filters and compression for later runs.')
@click.option('--executor', metavar='NAME:KEY=VALUE,…', shell_complete=complete_executor,
              help='What copies the images: local, the threads of this process (default); processes, worker processes '
              'of this machine; or what a plugin brings, such as other machines.')
@click.option('--rebuild-index', is_flag=True, help='Rebuild a damaged index.json, catalog.json or mount.json from '
              'the receipts kept beside it, and report what is lost.')
@click.option('--sync/--no-sync', default=True, help='Flush to the device before anything becomes visible.')
@click.option('--temp-dir', type=click.Path(exists=True, file_okay=False), help='Directory for spooled data.')
@report_option
@names_option
@network_options
@click.pass_context
def process(context: click.Context, /, source: str, destinations: tuple[str, ...], **options: Any) -> None:
    """Move images from SOURCE through filters to DEST, and verify what arrived there.

    DEST may be given several times, each as a URI: SOURCE is read once, and each DEST has its own receipt and verdict.

    SOURCE and DEST are URIs, scheme://path?option=value; `occystrap plugins` lists the schemes and their options.
    Where SOURCE names many images, DEST may have the fields {host}, {repository}, {name}, {tag}, {digest} and {hex}.
    """
    from occystrap_core.cli.output import show
    level = verify_level(options.pop('level'))
    settings = _settings(common(context), options, level)
    plugins = load_plugins(context)
    _require_clear(source, destinations)
    kind = None
    if options['executor'] is not None:
        from occystrap_core.cli.executor_option import executor_of  # late, as few runs have workers
        kind = executor_of(context, plugins, settings, options)
    if options['dry_run'] and options['reports']:
        raise UsageError('--report is for a run that copies: leave it out, or --dry-run')
    files = options['files'] = report_files('process', options['reports'])
    if options['dry_run']:
        from occystrap_core.cli.output import show_plan
        from occystrap_core.destinations.side_files import side_files
        context.exit(show_plan(plugins, settings, source, destinations, options['filters'], common(context),
                               _unchanged(plugins, level, options), _in_files(options),
                               side_files(options['receipt'], options['layer_cache']), options['prune']))
    order = plugins, settings, level, source, destinations, options, common(context)
    report = _run_in_bulk(*order, kind) if kind else _run(*order)
    report.receipts = _receipts(options['receipt'])
    written = show(report, common(context), files=files)
    context.exit(0 if report.succeeded and written else 1)


def _run(plugins: Plugins, settings: Settings, level: VerifyLevel, source: str, destinations: 'Sequence[str]',
         options: dict[str, Any], shared: Common) -> 'RunReport':
    from occystrap_core.pipeline.run import Run
    from occystrap_core.report.progress_kinds import progress_for
    with closing(_earlier(options)) as read, _receipt_file(options) as receipts:
        run = Run(plugins, settings, level, progress_for(quiet=shared.quiet), receipts, read, options['fail_fast'],
                  options['layer_cache'], options['refresh'], partial(_in_files, options) if options['prune'] else None,
                  options['reports'], keeps_images=shared.format == 'json' or bool(options['reports']),
                  proofs=bool(options['reports']))
        return _processed(run, source, destinations, options, shared)


def _run_in_bulk(plugins: Plugins, settings: Settings, level: VerifyLevel, source: str, destinations: 'Sequence[str]',
                 options: dict[str, Any], shared: Common, kind: 'tuple[ExecutorKind, dict[str, Any]]') -> 'RunReport':
    from occystrap_core.bulk.bulk_run import BulkRun
    from occystrap_core.bulk.earlier_receipts import EarlierReceipts
    from occystrap_core.report.bulk_progress import BulkProgress
    from occystrap_core.report.progress import Progress
    with (closing(EarlierReceipts('' if _is_first_run(options) else options['resume'])) as read,
          _receipt_file(options) as receipts):
        run = BulkRun(plugins, settings, level, Progress() if shared.quiet else BulkProgress(), *kind, receipts, read,
                      options['fail_fast'], options['refresh'], shared.format == 'json' or bool(options['reports']),
                      options['reports'])
        return _processed(run, source, destinations, options, shared)


def _processed(run: 'Run | BulkRun', source: str, destinations: 'Sequence[str]', options: dict[str, Any],
               shared: Common) -> 'RunReport':
    """Return the report of a run; if that ends with an error, what was done before is shown."""
    try:
        return run.process(source, destinations, options['filters'])
    except BaseException as error:
        if run.report and not isinstance(error, UsageError):
            run.report.receipts = _receipts(options['receipt'])
            _show_stopped(run.report, error, shared, options['files'])
        raise


def _require_clear(source: str, destinations: 'Sequence[str]') -> None:
    """Raise UsageError if one of several destinations may be meant as a source, which would be overwritten.

    A shell expands `*.tar` to several paths, and with one argument too many before it, the source is a destination.
    """
    if len(destinations) > 1 and source.isalnum():
        raise UsageError(f'{source} would be the source and {destinations[0]} a destination: write {source}:latest if '
                         'you mean that image, or leave it out')
    paths = [each for each in destinations if '://' not in each] if len(destinations) > 1 else []
    if paths:
        raise UsageError(f'{paths[0]} is not a URI: of several destinations each must be one, such as tar://{paths[0]} '
                         f'or registry://{paths[0]}; only the first argument is a source')


def _receipt_file(options: dict[str, Any]) -> 'AbstractContextManager[ReceiptFile | None]':
    """Return the file of --receipt, locked until it is closed; None without one."""
    if not options['receipt']:
        return nullcontext()
    from occystrap_core.receipts.receipt_file import ReceiptFile
    return closing(ReceiptFile(options['receipt'], options['force']))


def _earlier(options: dict[str, Any]) -> 'EarlierRun':
    """Return the receipts of --resume; none if it is the file of --receipt, which does not exist yet."""
    from occystrap_core.tasks.earlier_run import EarlierRun, receipt_key
    if _is_first_run(options):
        return EarlierRun()
    if os.path.lexists(path := options['resume']) and not os.path.isfile(path):  # a pipe can be read only once
        from occystrap_core.receipts.receipt_lines import read_receipts
        return EarlierRun(read_receipts(path, cut=True))
    from occystrap_core.receipts.receipt_index import ReceiptIndex
    return EarlierRun(index=ReceiptIndex(path, receipt_key))


def _is_first_run(options: dict[str, Any]) -> bool:
    """Return whether there is no earlier run: no --resume, or its file is that of --receipt and does not exist yet."""
    path = options['resume']
    return path == options['receipt'] and not os.path.lexists(path) if path else True


def _in_files(options: dict[str, Any]) -> 'list[Receipt]':
    """Return the receipts in the files of the run, which decide what is pruned."""
    from occystrap_core.receipts.receipt_lines import read_receipts
    files = [path for path in dict.fromkeys((options['resume'], options['receipt'])) if path and os.path.isfile(path)]
    return [each for path in files for each in read_receipts(path, cut=True)]


def _unchanged(plugins: Plugins, level: VerifyLevel, options: dict[str, Any]) -> 'Callable[[ImageTask], bool]':
    """Return a function that tells whether an image would be left as it is."""
    from occystrap_core.tasks.earlier_run import FoundBefore
    earlier = _earlier(options)
    return lambda task: FoundBefore(plugins, task, earlier, options['refresh'], level).find() is not None


def _show_stopped(report: 'RunReport', error: BaseException, shared: Common, files: 'ReportFiles | None') -> None:
    """Report a run that ended with an error: as JSON, in the files of --report, and as the summary after the error."""
    report.stopped(reason_text(error, shared))
    failed = write_reports(files, report.to_json)
    lines = [failed, *([report.how_to_resume(), report.summary()] if report.count else [])]
    shared.ending = [*filter(None, lines)]
    if shared.format == 'json':
        print_json(report.to_json())


def _receipts(path: str | None) -> tuple[str, str] | None:
    """Return the file of receipts and its digest, which `verify --expect` compares; None without a regular file."""
    if path is None or not os.path.isfile(path):
        return None
    from occystrap_core.files.device import hash_file
    return path, hash_file(path)[0]


def _base(files: 'Sequence[str]') -> 'dict[Digest, str] | None':
    """Return the blobs of --since; None without it."""
    if not files:
        return None
    from occystrap_core.pipeline.base_layers import base_of
    return {digest: name for path in files for digest, name in base_of(path).items()}


def _settings(shared: Common, options: dict[str, Any], level: VerifyLevel) -> Settings:
    """Return the settings of the options."""
    given: dict[str, Any] = {'sync': options['sync'], 'images': options['images'], 'debug': shared.debug,
                             'stdout_taken': shared.format == 'json', 'rebuild_index': options['rebuild_index'],
                             'replace_index': options['replace_index'], 'force': options['force'],
                             'names': options.pop('max_names'), 'base': _base(options['since']),
                             'verify': level, 'settle': options['settle'], **network_settings(options)}
    if options['jobs']:
        given['jobs'] = options['jobs']
    if options['temp_dir']:
        given['temporary'] = options['temp_dir']
    return Settings(**given).choosing(options['platform'])
