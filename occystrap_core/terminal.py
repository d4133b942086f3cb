"""The one place from which anything goes to standard output and standard error, so that no text gets there unescaped.

Functions for lines and JSON escape what they are given and keep it to one line. While the program runs the two streams
themselves escape too, for whatever else writes to them: plugins, libraries, tracebacks.
"""
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

import click

from occystrap_core.errors import OutputError
from occystrap_core.terminal_text import LONGEST, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

_LOCK = threading.Lock()
_BATCH = 1000
"""Pieces of JSON that are written at once."""
_LAST_WAIT = 0.2
"""Seconds that the last line waits for somebody to read what is before it."""


class EscapedStream(io.TextIOWrapper):
    """A stream in which all but line ends and tabs is escaped; it calls itself no terminal, so that nobody colours."""

    def __init__(self, original: TextIO, lossy: bool) -> None:
        """`lossy`: what cannot be written, as to a full disk, is lost without an error."""
        super().__init__(original.buffer, original.encoding, 'backslashreplace',
                         line_buffering=lossy or original.isatty())
        self.original, self._lossy = original, lossy

    def write(self, text: str, /) -> int:
        """Write the text, escaped; return its length."""
        with self._forgiving():
            super().write(text if text.isascii() and text.isprintable() else _escaped_lines(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with self._forgiving():
            super().flush()

    def isatty(self) -> bool:
        """Say no: `original` knows."""
        return False

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            if not self._lossy:
                raise


def _escaped_lines(text: str) -> str:
    return '\n'.join('\t'.join(map(printable, line.split('\t'))) for line in text.split('\n'))


def guard_streams() -> None:
    """Escape whatever goes to standard output and error from now on; what the caller closed leads nowhere."""
    _open_standard_streams()
    if not isinstance(sys.stdout, EscapedStream):
        sys.stdout = EscapedStream(sys.stdout, lossy=False)
        sys.stderr = EscapedStream(sys.stderr, lossy=True)


def _open_standard_streams() -> None:
    """Have descriptors 0, 1 and 2 open, or the first files opened would take their numbers and get our messages."""
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        while True:
            try:
                os.fstat(number)
                break
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))


def terminal(stream: TextIO | None = None) -> TextIO:
    """Return the stream itself behind an escaping one, standard error by default, for those who draw on a terminal."""
    stream = stream or sys.stderr
    return stream.original if isinstance(stream, EscapedStream) else stream


def console(target: TextIO) -> 'Console':
    """Return a console to draw on, which takes words as they are; what it gets must have gone through `one_line`."""
    from rich.console import Console
    return Console(file=target, markup=False, highlight=False, emoji=False, soft_wrap=True)


def print_message(text: str, whole: bool = False, target: TextIO | None = None) -> None:
    """Print one line for people on standard error, or `target`; it is cut unless `whole` or --debug is given."""
    stream = target or sys.stderr
    line = one_line(text, _longest(LONGEST, whole)) + '\n'
    with suppress(OSError):  # whom it cannot reach it cannot help, and the work goes on
        stream.write(line)
        stream.flush()


def print_lines(lines: Iterable[str], longest: int = LONGEST) -> None:
    """Print lines on standard output, each cut at `longest` characters unless --debug is given; raises OutputError."""
    most = _longest(longest)
    write_text(f'{one_line(line, most)}\n' for line in lines)


def print_json(data: dict[str, Any]) -> None:
    """Print JSON for programs on standard output, in ASCII; raises OutputError."""
    from json import JSONEncoder  # late: what prints no JSON need not wait for it
    pieces = JSONEncoder(indent=2, allow_nan=False).iterencode(data)
    write_text(iter(lambda: ''.join(islice(pieces, _BATCH)), ''))
    write_text(['\n'])


def write_text(pieces: Iterable[str]) -> None:
    """Write pieces of lines that are escaped to standard output, nobody else's in between; raises OutputError."""
    try:
        with _LOCK:
            for piece in pieces:
                sys.stdout.write(piece)
            sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more, of which shells make 128 and SIGPIPE
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        raise OutputError(f'standard output: {error.strerror}: give it another place') from None


def prompt(question: str, hidden: bool = False) -> str:
    """Ask whoever sits at the terminal; raises click.Abort when there is no answer."""
    return str(click.prompt(one_line(question), hide_input=hidden, err=True))


def last_words(text: str) -> None:
    """Print a line on standard error just before the process ends, waiting for no lock and hardly for a reader."""
    with suppress(OSError):
        if select.select([], [2], [], _LAST_WAIT)[1]:
            os.write(2, f'{one_line(text)}\n'.encode())


def _longest(most: int, whole: bool = False) -> int | None:
    context = click.get_current_context(silent=True)
    asked = context is not None and getattr(context.find_root().obj, 'debug', False)
    return None if whole or asked else most
