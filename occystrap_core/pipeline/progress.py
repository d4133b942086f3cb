"""Progress of a run: bars on a terminal, plain lines elsewhere, nothing with --quiet."""
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from occystrap_core.pipeline.report import ImageReport
from occystrap_core.pipeline.transfer_meter import RunMeter, TransferMeter
from occystrap_core.terminal import print_message, terminal
from occystrap_core.terminal_text import images_text

_INTERVAL = 10.0

Advance = Callable[[int], None]
"""Called with the number of bytes just moved, on several threads."""


class Progress:
    """Shows nothing; subclasses do. Used by all threads of a run."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Called with all images of the run before the first begins."""

    def image(self, reference: str, total: int) -> AbstractContextManager[Advance]:
        """Show one image of `total` bytes while the with block runs; 0 if the size is unknown."""
        return nullcontext(lambda count: None)

    def verification(self, reference: str) -> AbstractContextManager[None]:
        """Show that an image is verified while the with block runs."""
        return nullcontext()

    def finished(self, image: ImageReport) -> None:
        """Called when an image is done, verified or failed."""

    def end(self) -> None:
        """Stop showing anything."""


class MeteredProgress(Progress):
    """Keeps the figures that are shown; what shows them adds how."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.run = RunMeter(0)
        self.copied: dict[int, tuple[str, TransferMeter]] = {}
        """The images that are copied now: name and figures, by the identity of these."""
        self.verified: list[str] = []
        """The images that are verified now."""
        self._begun: Counter[str] = Counter()
        """How many images of each name have begun to be copied, and not ended."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Count the images."""
        self.run = RunMeter(len(images))

    @contextmanager
    def image(self, reference: str, total: int) -> Iterator[Advance]:
        """Count one image's bytes, for itself and for the run."""
        meter = TransferMeter(total)

        def advance(count: int) -> None:
            if count:
                meter.advance(count)
                self.run.advance(count)
        with self.lock:
            self._begun[reference] += 1
            self.run.add(total)
            self.copied[id(meter)] = reference, meter
        try:
            yield advance
        finally:
            with self.lock:
                del self.copied[id(meter)]

    @contextmanager
    def verification(self, reference: str) -> Iterator[None]:
        """Keep the name of one image while it is verified."""
        with self.lock:
            self.verified.append(reference)
        try:
            yield
        finally:
            with self.lock:
                self.verified.remove(reference)

    def finished(self, image: ImageReport) -> None:
        """Count an image."""
        with self.lock:
            copied = self._begun[image.name] > 0
            self._begun[image.name] -= copied
            self.run.finish(copied)


class PlainProgress(MeteredProgress):
    """For logs: a line for each finished image of several, and every ten seconds one with what is under way."""

    def __init__(self, target: TextIO | None = None, interval: float = _INTERVAL) -> None:
        """`interval` is in seconds."""
        super().__init__()
        self._target, self._interval = target, interval
        self._ended = threading.Event()

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Count the images, and write lines from now on."""
        super().begin(images)
        threading.Thread(target=self._tick, name='progress', daemon=True).start()

    def finished(self, image: ImageReport) -> None:
        """Write a line for it, if there are several."""
        super().finished(image)
        if self.run.images > 1:
            self._say(f'[{self.run.finished}/{self.run.images}] {image.line()}')

    def end(self) -> None:
        """Write no more lines."""
        self._ended.set()

    def tell(self) -> None:
        """Write a line with the state of the run, or of its only image."""
        with self.lock:
            self.run.sample()
            names = [name for name, _ in self.copied.values()] or self.verified
        if not names:
            return
        if self.run.images > 1:
            name = images_text(self.run.finished, self.run.images)
        else:
            name = names[0]
        self._say(f'{name}: {_state(self.run) if self.copied else "verifying"}')

    def _tick(self) -> None:
        while not self._ended.wait(self._interval):
            self.tell()

    def _say(self, line: str) -> None:
        print_message(line, target=self._target)


def _state(meter: TransferMeter) -> str:
    """Return `3.0/12.5 MiB, 1.5 MiB/s, 0:06 left`."""
    left = meter.left()
    return f'{meter.size()}, {meter.speed()}' + (f', {left} left' if left else '')


def progress_for(target: TextIO | None = None, quiet: bool = False) -> Progress:
    """Return the kind of progress that fits the stream of messages, stderr unless `target` is given.

    Bars are for terminals that can move the cursor, and for users who did not ask for plain text (NO_COLOR).
    """
    if quiet:
        return Progress()
    drawn = terminal(target)
    if not drawn.isatty() or os.environ.get('NO_COLOR') or os.environ.get('TERM', 'dumb') in ('dumb', 'unknown', ''):
        return PlainProgress(target or sys.stderr)
    from occystrap_core.pipeline.progress_bars import TerminalProgress  # late: draws with rich, which takes long
    return TerminalProgress(drawn)
