"""How progress is shown: bars on a terminal, plain lines elsewhere, nothing with --quiet."""
import os
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import MeteredProgress, Progress
from occystrap_core.report.transfer_meter import TransferMeter
from occystrap_core.terminal import print_message, terminal

_INTERVAL = 10.0


class PlainProgress(MeteredProgress):
    """For logs: a line for each finished image of several, and every ten seconds one about work in progress."""

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
            self._say(f'[{self.run.counts()}] {image.line()}')

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
            name = self.run.images_text()
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
    from occystrap_core.report.progress_bars import TerminalProgress  # late: draws with rich, which takes long
    return TerminalProgress(drawn)
