"""Progress on a terminal: a bar for each image that is copied, and one for all if there are several."""
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TextIO

from rich.console import RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import MeteredProgress
from occystrap_core.report.transfer_meter import TransferMeter
from occystrap_core.terminal import console, printed_above
from occystrap_core.terminal_text import one_line, shortened

_LEAST, _LEAST_NARROW = (13, 11, 5), (4, 11)
"""Minimum widths of `1.2/123.4 MiB`, `123.4 MiB/s`, `12:34`, and of `100%`, `123.4 MiB/s`, so that they do not move."""
_NARROW, _WIDE = 60, 100
"""Below the first number of columns a percentage replaces bar, size and time; below the second the bar is short."""
_SHORT_BAR, _LONG_BAR = 12, 24
_PER_SECOND = 5
_USUAL = 80
"""Columns of a terminal that does not report its width."""
_UNKNOWN = '-:--'


class TerminalProgress(MeteredProgress):
    """Draws a line for each image in progress, with its name, bar, bytes, rate and time left, and one for all."""

    def __init__(self, target: TextIO) -> None:
        super().__init__()
        self._console = console(target)
        self._stack = ExitStack()
        self._over = False
        self._width, self._count = 0, 0
        """Columns of the terminal when lines were last drawn, and their number."""
        self._live = Live(get_renderable=self.lines, console=self._console, transient=True,
                          refresh_per_second=_PER_SECOND, redirect_stdout=False, redirect_stderr=False)

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Draw from now on; messages are printed above."""
        super().begin(images)
        self._live.start()
        self._stack.callback(self._live.stop)
        self._stack.enter_context(printed_above(self._print))

    def finished(self, image: ImageReport) -> None:
        """Count it, and name it if it failed."""
        super().finished(image)
        if self.run.images > 1 and not image.succeeded:
            self._print(one_line(image.line()))

    def end(self) -> None:
        """Remove the lines."""
        self._over = True
        self._stack.close()

    def _print(self, line: str) -> None:
        self._live.refresh()  # for the current width
        self._console.print(line)

    def _columns(self) -> int:
        """Return the current width of the terminal, even if COLUMNS was set when the run began."""
        try:
            return os.get_terminal_size(self._console.file.fileno()).columns or _USUAL
        except OSError:
            return _USUAL

    def lines(self) -> RenderableType:
        """Return the lines for the current width of the terminal; called each time they are drawn."""
        width = self._console.width = self._columns()
        with self.lock:
            rows = [] if self._over else list(self._rows())
        self._erase_wrapped(width)
        self._width, self._count = width, len(rows)
        return _table(width - 1, rows)

    def _rows(self) -> Iterator[tuple[str, TransferMeter | None]]:
        """Yield name and figures of each line, the total first; images being verified have no figures."""
        if self.run.images > 1:
            yield self.run.images_text(), self.run
        yield from self.copied.values()
        yield from ((name, None) for name in self.verified)
        for meter in (self.run, *(meter for _, meter in self.copied.values())):
            meter.sample()

    def _erase_wrapped(self, width: int) -> None:
        """Erase lines that a narrowed terminal has wrapped, since rich only goes up by as many lines as it drew."""
        if width < self._width:
            more = self._count * ((self._width - 2) // width)
            self._console.control(Control(*[(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)] * more))


def _table(width: int, rows: Sequence[tuple[str, TransferMeter | None]]) -> Table:
    """Return lines of exactly `width` characters; names get, and are shortened to, the width that the figures leave."""
    bar = 0 if width < _NARROW else _SHORT_BAR if width < _WIDE else _LONG_BAR
    figures = [_figures(meter, bar) for _, meter in rows]
    widths = [max(least, *map(len, texts)) for least, texts in zip(_LEAST if bar else _LEAST_NARROW, zip(*figures))]
    name = max(width - sum(widths) - len(widths) - (bar + 1 if bar else 0), 1)
    table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    for columns in (name, *([bar] if bar else [])):
        table.add_column(width=columns, no_wrap=True)
    for columns in widths:
        table.add_column(width=columns, no_wrap=True, justify='right')
    for (text, meter), texts in zip(rows, figures):
        table.add_row(Text(shortened(one_line(text), name)), *([_bar(meter, bar)] if bar else []), *map(Text, texts))
    return table


def _figures(meter: TransferMeter | None, bar: int) -> tuple[str, ...]:
    """Return size, rate and time left; without a bar, percentage and rate."""
    if not meter:
        return ('verifying', '', _UNKNOWN) if bar else ('', 'verifying')
    if not bar:
        return f'{meter.fraction:.0%}' if meter.fraction else '', meter.speed()
    return meter.size(), meter.speed(), meter.left() or _UNKNOWN


def _bar(meter: TransferMeter | None, width: int) -> RenderableType:
    """Return a bar; it moves back and forth if the total is unknown."""
    if not meter:
        return ''
    return ProgressBar(1.0 if meter.fraction or meter.total else None, meter.fraction, width)
