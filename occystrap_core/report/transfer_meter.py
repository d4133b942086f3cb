"""The figures of every kind of progress: how much was moved, how fast, and how long the rest will take."""
import threading
import time
from collections import deque
from collections.abc import Callable

from occystrap_core.terminal_text import duration_text, size_text, sizes_text

_WINDOW = 30.0
"""Seconds over which the rate is measured."""


class TransferMeter:
    """Counts bytes, on several threads; `total` is 0 if it is unknown. The rate is measured between calls of `sample`.
    """

    def __init__(self, total: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self._moved, self._clock = total, 0, clock
        self._lock = threading.Lock()
        self._samples = deque([(clock(), 0)])

    def advance(self, count: int) -> None:
        """Count bytes that were just moved."""
        with self._lock:
            self._moved += count

    def sample(self) -> None:
        """Record the present state, from which later rates are measured."""
        with self._lock:
            now = self._clock()
            while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW:
                self._samples.popleft()
            self._samples.append((now, self._moved))

    @property
    def moved(self) -> int:
        """The bytes moved; never more than the total, although some may have been sent twice."""
        return min(self._moved, self.total) if self.total else self._moved

    @property
    def fraction(self) -> float:
        """The part of the total that was moved, 0 to 1; 0 if the total is unknown."""
        return self.moved / self.total if self.total else 0.0

    @property
    def rate(self) -> float:
        """Bytes per second over the last half minute."""
        then, moved = self._samples[0]
        seconds = self._clock() - then
        return (self._moved - moved) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until everything is moved at this rate; None if unknown."""
        return (self.total - self.moved) / self.rate if self.total and self.rate else None

    def size(self) -> str:
        """Return `3.0/12.5 MiB`, or `3.0 MiB` if the total is unknown."""
        return sizes_text(self.moved, self.total) if self.total else size_text(self.moved)

    def speed(self) -> str:
        """Return `1.5 MiB/s`."""
        return f'{size_text(int(self.rate))}/s'

    def left(self) -> str:
        """Return `1:05`, minutes and seconds, or an empty text if that cannot be known."""
        return '' if self.seconds_left is None else duration_text(self.seconds_left)


class RunMeter(TransferMeter):
    """Totals of all images of a run; the number of bytes is unknown until the size of every image is known."""

    def __init__(self, images: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(0, clock)
        self.images, self.finished = images, 0
        self.more = False
        """Whether more images may come."""
        self._started, self._sizes, self._unsized, self._begun, self._skipped = clock(), 0, False, 0, 0

    def expect(self, images: int, more: bool) -> None:
        """Set the number of images that are known, and whether more may come."""
        with self._lock:
            self.images, self.more = images, more
            self._know_total()

    def counts(self) -> str:
        """Return `3/12`, or `3/12+` if more images may come."""
        return f'{self.finished}/{self.images}{"+" if self.more else ""}'

    def images_text(self) -> str:
        """Return `3/12 images`."""
        return f'{self.counts()} {"image" if self.images == 1 else "images"}'

    def add(self, total: int) -> None:
        """Add an image of `total` bytes, which begins; 0 if its size is unknown."""
        with self._lock:
            self._sizes, self._unsized, self._begun = self._sizes + total, self._unsized or not total, self._begun + 1
            self._know_total()

    def finish(self, copied: bool) -> None:
        """Count an image that has ended; `copied`: it was added before."""
        with self._lock:
            self.finished, self._skipped = self.finished + 1, self._skipped + (not copied)
            self._know_total()

    @property
    def fraction(self) -> float:
        """The finished part of the run: by bytes or, while their total is unknown, by images."""
        return super().fraction if self.total else self.finished / self.images if self.images and not self.more else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all images are done; estimated by images while the total of bytes is unknown."""
        if self.total:
            return super().seconds_left
        if self.more:
            return None
        gone = self._clock() - self._started
        return gone / self.finished * (self.images - self.finished) if self.finished else None

    def _know_total(self) -> None:
        known = self._begun + self._skipped >= self.images and not self._unsized and not self.more
        self.total = self._sizes if known else 0
