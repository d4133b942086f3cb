"""How a run shows that it moves: bars on a terminal, plain lines elsewhere, nothing when asked to be quiet."""
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from occystrap_core.pipeline.report import size_text

_INTERVAL = 10.0


class Progress:
    """Shows nothing; the others refine it."""

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator['Progress']:
        """Show one image of `total` bytes while the with block runs; 0 where the size is unknown."""
        yield self

    def advance(self, count: int) -> None:
        """Note that `count` bytes have moved; called from several threads."""


class PlainProgress(Progress):
    """A line every ten seconds, for logs."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._reference, self._moved = '', 0
        self._next = time.monotonic() + _INTERVAL

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Progress]:
        """Show one image."""
        self._reference, self._moved = reference, 0
        yield self

    def advance(self, count: int) -> None:
        """Count, and write a line when the last is ten seconds old."""
        with self._lock:
            self._moved += count
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _INTERVAL
            print(f'{self._reference}: {size_text(self._moved)} so far', file=self._target, flush=True)


class TerminalProgress(Progress):
    """One bar per image with bytes, rate and time left."""

    def __init__(self, target: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress as Bars, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn
        self._bars = Bars(TextColumn('{task.description}'), BarColumn(), DownloadColumn(binary_units=True),
                          TransferSpeedColumn(), TimeRemainingColumn(), console=Console(file=target), transient=True)
        self._task = self._bars.add_task('', visible=False)

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Progress]:
        """Show one image's bar, gone when it is done."""
        self._task = self._bars.add_task(reference, total=total or None)
        try:
            with self._bars:
                yield self
        finally:
            self._bars.remove_task(self._task)

    def advance(self, count: int) -> None:
        """Move the bar."""
        if count:
            self._bars.advance(self._task, count)


def progress_for(target: TextIO | None = None, quiet: bool = False) -> Progress:
    """Return what fits the stream that messages go to, stderr unless `target` is given."""
    if quiet:
        return Progress()
    target = target or sys.stderr
    return TerminalProgress(target) if target.isatty() else PlainProgress(target)
