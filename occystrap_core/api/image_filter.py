"""The contract of a filter."""
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from occystrap_core.image.image import Image
from occystrap_core.settings import Settings
from occystrap_core.tar.entry import TarEntry


class ImageFilter(ABC):
    """Makes an image from an image, lazily: nothing is read before the writer asks."""

    repeatable = False
    """True where what becomes of a layer depends on the layer and the options alone, and nothing else is done on the
    way: then a result may be taken from a cache instead."""
    files: Sequence[str] = ()
    """Paths of the files that it writes besides; the run refuses those of images, or below them."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        self.options, self.settings = options, settings

    @abstractmethod
    def apply(self, image: Image) -> Image:
        """Return the filtered image."""


class EntryFilter(ImageFilter):
    """A filter that looks at one tar entry at a time. Neighbours are fused: all of them cost one pass over the tar.

    It must be deterministic and keep no state between entries, since layers are read in parallel.
    """

    @abstractmethod
    def entry(self, entry: TarEntry) -> TarEntry | None:
        """Return the entry, changed or as it is, or None to leave it out."""

    def apply(self, image: Image) -> Image:
        """Return the image with every layer rewritten by this filter."""
        from occystrap_core.tar.rewritten_image import rewrite_entries
        return rewrite_entries(image, self.entry, self.settings)
