"""All output to standard output and standard error, so that no text gets there unescaped.

Functions for lines and JSON escape their text and keep it on one line. While the program runs, the two streams also
escape what plugins, libraries and tracebacks write to them.
"""
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
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
"""Pieces of JSON in one write."""
_LAST_WAIT = 0.2
"""Seconds that the last line waits for earlier output to be written."""


class EscapedStream(io.TextIOWrapper):
    """A stream that escapes everything except line ends and tabs; it claims not to be a terminal, so that nobody writes
    colours."""

    def __init__(self, original: TextIO, lossy: bool) -> None:
        """`lossy`: text that cannot be written, for example to a full disk, is dropped without an error."""
        super().__init__(original.buffer, original.encoding, 'backslashreplace',
                         line_buffering=lossy or original.isatty())
        self.original, self._lossy = original, lossy

    def write(self, text: str, /) -> int:
        """Write the text, escaped; return its length."""
        with self._forgiving():
            super().write(text if text.isascii() and text.isprintable() else _escaped_lines(text))
        return len(text)

    def flush(self) -> None:
        """Flush the original stream."""
        with self._forgiving():
            super().flush()

    def isatty(self) -> bool:
        """Return False; ask `original` instead."""
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
    """Escape everything written to standard output and error from now on; a stream that the caller closed discards it.
    """
    _open_standard_streams()
    if not isinstance(sys.stdout, EscapedStream):
        sys.stdout = EscapedStream(sys.stdout, lossy=False)
        sys.stderr = EscapedStream(sys.stderr, lossy=True)


def _open_standard_streams() -> None:
    """Open descriptors 0, 1 and 2 if they are closed: otherwise files opened later would get these numbers, and our
    messages.

    They are opened for reading alone, so that what is written to the descriptor itself, such as an archive, fails and
    is not lost unnoticed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest free number
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def terminal(stream: TextIO | None = None) -> TextIO:
    """Return the original stream of an escaping one, by default of standard error, to draw on a terminal."""
    stream = stream or sys.stderr
    return stream.original if isinstance(stream, EscapedStream) else stream


def console(target: TextIO) -> 'Console':
    """Return a console to draw on, which does not interpret markup; pass its text through `one_line` first."""
    from rich.console import Console
    return Console(file=target, markup=False, highlight=False, emoji=False, soft_wrap=True)


_ABOVE: list[Callable[[str], None]] = []
"""The functions that print a line above the bars that are currently drawn."""


@contextmanager
def printed_above(show: Callable[[str], None]) -> Iterator[None]:
    """Have `show` print messages for standard error, where bars are drawn, until the with block ends."""
    _ABOVE.append(show)
    try:
        yield
    finally:
        _ABOVE.remove(show)


def print_message(text: str, whole: bool = False, target: TextIO | None = None) -> None:
    """Print one line for the user on standard error, or `target`; it is cut unless `whole` or --debug is given."""
    line = one_line(text, _longest(LONGEST, whole))
    with suppress(OSError):  # a message that cannot be written must not stop the work
        if _ABOVE and target is None:
            _ABOVE[-1](line)
            return
        stream = target or sys.stderr
        stream.write(f'{line}\n')
        stream.flush()


def print_lines(lines: Iterable[str], longest: int = LONGEST) -> None:
    """Print lines on standard output, each cut to `longest` characters unless --debug is given; raises OutputError."""
    most = _longest(longest)
    write_text(f'{one_line(line, most)}\n' for line in lines)


def print_json(data: dict[str, Any]) -> None:
    """Print JSON for programs on standard output, in ASCII; raises OutputError.

    A callable in the data is replaced by its result when it is reached, so that of a long list only one element at a
    time is in memory.
    """
    from json import JSONEncoder  # late: not needed without JSON output
    pieces = JSONEncoder(indent=2, allow_nan=False, default=lambda element: element()).iterencode(data)
    write_text(iter(lambda: ''.join(islice(pieces, _BATCH)), ''))
    write_text(['\n'])


def write_text(pieces: Iterable[str]) -> None:
    """Write pieces of escaped lines to standard output without output of others between them; raises OutputError."""
    try:
        with _LOCK:
            for piece in pieces:
                sys.stdout.write(piece)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe; shells report 128 plus SIGPIPE
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        raise OutputError(f'standard output: {error.strerror}: redirect it elsewhere') from None


def prompt(question: str, hidden: bool = False) -> str:
    """Ask the user at the terminal; raises click.Abort without an answer."""
    return str(click.prompt(one_line(question), hide_input=hidden, err=True))


def print_last_line(text: str) -> None:
    """Print a line on standard error just before the process ends, without waiting for locks, and only briefly for the
    reader."""
    with suppress(OSError):
        if select.select([], [2], [], _LAST_WAIT)[1]:
            os.write(2, f'{one_line(text)}\n'.encode())


def _longest(most: int, whole: bool = False) -> int | None:
    context = click.get_current_context(silent=True)
    debug = context is not None and getattr(context.find_root().obj, 'debug', False)
    return None if whole or debug else most
