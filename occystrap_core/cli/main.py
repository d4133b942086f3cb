"""The process from its start to its exit code: one clear line for every error, no traceback without --debug."""
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from occystrap_core.cli.common import Common
from occystrap_core.cli.completion_command import COMPLETE
from occystrap_core.cli.group import occystrap
from occystrap_core.cli.signals import Interrupted, Signals
from occystrap_core.errors import Cancelled, OccystrapError, system_text
from occystrap_core.plugins.blame import unexpected
from occystrap_core.terminal import guard_streams, print_last_line, print_lines, print_message


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    signals = Signals()
    try:
        guard_streams()  # before anything that is opened could get descriptor 0, 1 or 2
        signals.begin()
        try:
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            signals.end()
    except Interrupted as error:  # a signal came while another error was being reported
        code = _report_interruption(error)
    with suppress(OSError):  # the error that matters has been reported
        sys.stdout.flush()
    os._exit(code)  # threads that wait for a silent server must not delay the end


def _run(arguments: list[str]) -> int:
    shared = Common()
    if COMPLETE in os.environ:
        from occystrap_core.cli.completion_shells import add_shells
        add_shells()
    try:
        _require_no_tilde(arguments)
        code = int(occystrap.main(arguments, 'occystrap', standalone_mode=False, obj=shared) or 0)
        sys.stdout.flush()
        return code
    except click.exceptions.NoArgsIsHelpError as error:
        print_lines(error.format_message().splitlines())
        return error.exit_code
    except click.ClickException as error:
        return _report_usage(error, shared.command)
    except click.Abort:
        return _report('the input ended before the question was answered', 1, shared)
    except OccystrapError as error:
        return _report(str(error), error.exit_code, shared)
    except (Interrupted, Cancelled) as error:
        return _report_interruption(error, shared.ending)
    except SystemExit as error:
        return _exit_code(error)
    except OSError as error:
        return _report(system_text(error), 1, shared)
    except Exception as error:  # the last resort: the user gets a line, not a traceback
        return _report(unexpected(error, shared.plugins, '--debug shows where'), 1, shared)


def _require_no_tilde(arguments: Sequence[str]) -> None:
    """Raise UsageError for an option such as --receipt=~/file, which the shell passes on as it is."""
    for word in arguments:
        option, _, value = word.partition('=')
        if option.startswith('--') and value.startswith('~'):
            from occystrap_core.api.short_names import require_no_tilde  # late, as only errors need it
            require_no_tilde(value, f'{option}=')


def _exit_code(error: SystemExit) -> int:
    """Return the exit code that a command requests; a text is a message with code 1, as in Python's sys.exit."""
    if isinstance(error.code, str):
        print_message(error.code)
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _report(message: str, code: int, shared: Common) -> int:
    if shared.debug:
        _print_traceback()
    print_message(f'occystrap: error: {message}', whole=shared.debug)
    for line in shared.ending:
        print_message(line)
    return code


def _print_traceback() -> None:
    """Print the traceback of the current error; its untrusted message stays one line."""
    import traceback
    for piece in traceback.format_exception(*sys.exc_info()):
        for line in piece.split('\n') if piece.startswith((' ', '\n', 'Traceback')) else [piece.rstrip('\n')]:
            print_message(line, whole=True)


def _report_usage(error: click.ClickException, command: str) -> int:
    context = getattr(error, 'ctx', None)
    path = context.command_path if context else f'occystrap {command}'.rstrip()
    message = ' '.join(error.format_message().split()).rstrip('.')
    if isinstance(error, click.NoSuchOption):
        from occystrap_core.cli.foreign_options import what_does_the_same  # late, as only errors need it
        if better := what_does_the_same(error.option_name):
            message = f'No such option {error.option_name!r}: {better}'
    print_message(f'occystrap: error: {message} (see {path} --help)')
    return error.exit_code


def _report_interruption(error: Interrupted | Cancelled, ending: Sequence[str] = ()) -> int:
    left = '; '.join(getattr(error, '__notes__', ())) or 'nothing half-written was left behind'
    print_last_line(f'occystrap: error: interrupted; {left}')
    for line in ending:
        print_last_line(line)
    return error.exit_code
