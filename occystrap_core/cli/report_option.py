"""The option `--report` of commands: its files are written when the command ends, also after an error."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from occystrap_core.cli.common import Common
from occystrap_core.errors import Cancelled, OutputError, UsageError

if TYPE_CHECKING:
    from occystrap_core.plugins.manager import Plugins
    from occystrap_core.report.report_files import ReportFiles

F = TypeVar('F', bound=Callable[..., Any])


def report_option(command: F) -> F:
    """Add the option `--report`."""
    return click.option('--report', 'reports', type=click.Path(dir_okay=False), multiple=True, metavar='FILE',
                        help='Write the result to this file: .json as -O json prints it, .xml for CI systems (JUnit), '
                        '.html a page to read. May be given several times.')(command)


def report_files(command: str, paths: Sequence[str]) -> 'ReportFiles | None':
    """Return the files of `--report`, None if there are none; raises UsageError and OutputError before anything is
    read."""
    if not paths:
        return None
    from occystrap_core.report.report_files import ReportFiles
    return ReportFiles(command, paths)


def write_reports(files: 'ReportFiles | None', document: Callable[[], dict[str, Any]]) -> str:
    """Write the files; return why one could not be written, else an empty text."""
    try:
        if files:
            files.write(document())
    except OutputError as error:
        return f'the result is not in all files of --report: {error}'
    return ''


def spare_places(files: 'ReportFiles | None', plugins: 'Plugins', shared: Common, read: str,
                 destinations: Sequence[str] = ()) -> None:
    """Raise UsageError if a file of `--report` is read by the command, or is in a destination, among its own files."""
    if not files:
        return
    from occystrap_core.api.uri import parse_uri
    from occystrap_core.destinations.side_files import kept_paths, side_files
    side = side_files(None, None, files.paths)
    if shared.format == 'json':
        side.refuse_stdout('the report in JSON')
    locations = [parse_uri(each) for each in (read, *destinations) if '://' in each]
    side.refuse_places(kept_paths(plugins, [*((each.scheme, each.path) for each in locations),
                                            ('', '' if '://' in read else read)]))


@contextmanager
def reported_if_stopped(files: 'ReportFiles | None', shared: Common, document: Callable[[str], dict[str, Any]],
                        ) -> Iterator[None]:
    """Write the files also if an error or a signal ends the block; `document` makes the report from the reason.

    Not for usage errors.
    """
    try:
        yield
    except BaseException as error:
        if files and not isinstance(error, UsageError):
            reason = reason_text(error, shared)
            if failed := write_reports(files, lambda: document(reason)):
                shared.ending = [*shared.ending, failed]
        raise


def reason_text(error: BaseException, shared: Common) -> str:
    """Return why a command ended early."""
    from occystrap_core.cli.signals import Interrupted
    from occystrap_core.report.image_report import failure_text
    assert shared.plugins
    return 'interrupted' if isinstance(error, Cancelled | Interrupted) else failure_text(error, shared.plugins)
