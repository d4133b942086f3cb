"""Progress of a run: the interface, and the figures that every kind of progress shows."""
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.transfer_meter import RunMeter, TransferMeter

Advance = Callable[[int], None]
"""Called with the number of bytes just moved, on several threads."""


class Progress:
    """Shows nothing; subclasses do. Used by all threads of a run."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Called with all images of the run before the first begins."""

    def expect(self, images: int, more: bool) -> None:
        """Called when the number of known images changes; `more` may come."""

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
    """Keeps the figures; subclasses show them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.run = RunMeter(0)
        self.copied: dict[int, tuple[str, TransferMeter]] = {}
        """The images that are being copied: name and figures, by the id of the figures."""
        self.verified: list[str] = []
        """The images that are being verified."""
        self._begun: Counter[str] = Counter()
        """For each name the number of images that are being copied."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Count the images."""
        self.run = RunMeter(len(images))

    def expect(self, images: int, more: bool) -> None:
        """Count the images that are known by now."""
        with self.lock:
            self.run.expect(images, more)

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
