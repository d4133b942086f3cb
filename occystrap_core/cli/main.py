"""From the process's start to its exit code: one clear line for every mistake, no traceback without --debug."""
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from occystrap_core.cli.common import Common
from occystrap_core.cli.group import occystrap
from occystrap_core.errors import OccystrapError


class Interrupted(BaseException):
    """A signal asked the process to end; `exit_code` is 128 and the signal's number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    with suppress(OSError):  # the error that matters has been told
        sys.stdout.flush()
    os._exit(code)  # threads that wait for a silent server must not hold up the end


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise once; while everything temporary is being removed, further signals are not heard."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def _run(arguments: list[str]) -> int:
    shared = Common()
    try:
        code = int(occystrap.main(arguments, 'occystrap', standalone_mode=False, obj=shared) or 0)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        return _tell_usage(error)
    except click.Abort:
        return _tell('the input ended before the question was answered', 1, shared)
    except OccystrapError as error:
        return _tell(str(error), error.exit_code, shared)
    except Interrupted as error:
        left = '; '.join(getattr(error, '__notes__', ())) or 'nothing half-written was left behind'
        return _tell(f'interrupted; {left}', error.exit_code, shared)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _tell(f'{error.filename or "input or output"}: {error.strerror or error}', 1, shared)
    except Exception as error:  # the last resort: whatever it is, the user gets a line and not a traceback
        return _tell(f'internal error: {type(error).__name__}: {error}; --debug shows where', 1, shared)


def _tell(message: str, code: int, shared: Common) -> int:
    if shared.debug:
        import traceback
        traceback.print_exc()
    line = ' '.join(message.split())
    click.echo(f'occystrap: error: {line}', err=True)
    return code


def _tell_usage(error: click.ClickException) -> int:
    context = getattr(error, 'ctx', None)
    path = context.command_path if context else 'occystrap'
    message = ' '.join(error.format_message().split()).rstrip('.')
    click.echo(f'occystrap: error: {message} (see {path} --help)', err=True)
    return error.exit_code
