"""Totals of images that are only counted, since a run may have millions."""
from occystrap_core.report.image_report import ImageReport


class ImageTotals:
    """Totals of images that succeeded."""

    def __init__(self) -> None:
        self.count = self.layers = self.size = self.unchanged = 0
        self.before = 0
        """Images that an earlier run copied, and for which the source was not asked."""
        self.settle_seconds = 0.0
        """The longest time in seconds."""
        self.left_out: dict[str, int] = {}
        """The layers that deltas leave out, with their sizes."""

    def add(self, image: ImageReport) -> None:
        """Count an image, which must have succeeded."""
        assert image.succeeded
        self.count += 1
        self.layers += image.layers
        self.left_out.update(image.left_out_layers())
        self.size += image.size
        self.unchanged += image.done_before and image.source_asked
        self.before += image.done_before and not image.source_asked
        self.settle_seconds = max(self.settle_seconds, image.settle_seconds)
