"""Numbers of images of which nothing else is kept, since a bulk run may have millions."""
from dataclasses import dataclass

from occystrap_core.report.image_report import ImageReport


@dataclass
class ImageTotals:
    """The images that succeeded and were counted."""

    count: int = 0
    layers: int = 0
    size: int = 0
    unchanged: int = 0
    before: int = 0
    """Those that an earlier run copied, where the source was not asked."""
    settle_seconds: float = 0.0
    """The longest."""

    def add(self, image: ImageReport) -> None:
        """Count an image, which must have succeeded."""
        assert image.succeeded
        self.count += 1
        self.layers += image.layers
        self.size += image.size
        self.unchanged += image.done_before and image.source_asked
        self.before += image.done_before and not image.source_asked
        self.settle_seconds = max(self.settle_seconds, image.settle_seconds)
