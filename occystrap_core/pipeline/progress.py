"""Progress of a run: bars on a terminal, plain lines elsewhere, nothing with --quiet."""
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from occystrap_core.pipeline.report import ImageReport
from occystrap_core.terminal import console, print_message, terminal
from occystrap_core.terminal_text import one_line, size_text

_INTERVAL = 10.0
_WIDE = 120
"""Characters of a reference beside its bar."""

Advance = Callable[[int], None]
"""Called with the number of bytes just moved, on several threads."""


class Progress:
    """Shows nothing; subclasses do. Used by all threads of a run."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Called with all images of the run before the first begins."""

    def image(self, reference: str, total: int) -> AbstractContextManager[Advance]:
        """Show one image of `total` bytes while the with block runs; 0 if the size is unknown."""
        return nullcontext(lambda count: None)

    def finished(self, image: ImageReport) -> None:
        """Called when an image is done, verified or failed."""

    def end(self) -> None:
        """Stop showing anything."""


class PlainProgress(Progress):
    """For logs: a line for each finished image of several, and one every ten seconds."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._all = self._finished = self._moved = 0
        self._next = time.monotonic() + _INTERVAL

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Count the images."""
        self._all = len(images)

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Advance]:
        """Show one image."""
        def advance(count: int) -> None:
            with self._lock:
                self._moved += count
                if time.monotonic() >= self._next:
                    self._next = time.monotonic() + _INTERVAL
                    self._say(f'{reference}: {size_text(self._moved)} so far')
        yield advance

    def finished(self, image: ImageReport) -> None:
        """Write a line for it, if there are several."""
        if self._all > 1:
            with self._lock:
                self._finished += 1
                self._say(f'[{self._finished}/{self._all}] {image.line()}')

    def _say(self, line: str) -> None:
        print_message(line, target=self._target)


class TerminalProgress(Progress):
    """A bar for each image in progress with bytes, rate and time left, and one for all if there are several."""

    def __init__(self, target: TextIO) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress as Bars, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn
        self._bars = Bars(TextColumn('{task.description}', markup=False), BarColumn(),
                          DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(),
                          console=console(target), transient=True,
                          redirect_stdout=False, redirect_stderr=False)  # rich would otherwise redirect them
        self._lock = threading.Lock()
        self._all = self._finished = 0

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Add the bar for all images, which counts bytes too; its total grows as the sizes of images become known."""
        self._all = len(images)
        self._overall = self._bars.add_task('', total=None, visible=self._all > 1)
        self._describe()
        self._bars.start()

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Advance]:
        """Show one image's bar until it is done."""
        task = self._bars.add_task(one_line(reference, _WIDE), total=total or None)

        def advance(count: int) -> None:
            if count:
                self._bars.advance(task, count)
                self._bars.advance(self._overall, count)
        try:
            yield advance
        finally:
            self._bars.remove_task(task)

    def finished(self, image: ImageReport) -> None:
        """Count it, and name it if it failed."""
        with self._lock:
            self._finished += 1
        self._describe()
        if self._all > 1 and not image.succeeded:
            self._bars.console.print(one_line(image.line()))

    def end(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def _describe(self) -> None:
        self._bars.update(self._overall, description=f'{self._finished}/{self._all} images')


def progress_for(target: TextIO | None = None, quiet: bool = False) -> Progress:
    """Return the kind of progress that fits the stream of messages: stderr unless `target` is given."""
    if quiet:
        return Progress()
    drawn = terminal(target)
    return TerminalProgress(drawn) if drawn.isatty() else PlainProgress(target or sys.stderr)
