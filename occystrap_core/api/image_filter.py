"""The contract of a filter."""
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from occystrap_core.image.image import Image
from occystrap_core.settings import Settings

if TYPE_CHECKING:
    from occystrap_core.tar.entry import TarEntry


class ImageFilter(ABC):
    """Makes an image from an image, lazily: nothing is read until the writer reads it."""

    repeatable = False
    """True if the result for a layer depends on the layer and the options alone, and the filter has no other effect. A
    result may then be taken from a cache."""
    files: Sequence[str] = ()
    """Paths of other files that the filter writes. The run refuses paths of images and paths below them."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        self.options, self.settings = options, settings

    @abstractmethod
    def apply(self, image: Image) -> Image:
        """Return the filtered image."""


class EntryFilter(ImageFilter):
    """A filter that handles one tar entry at a time. Adjacent entry filters share one pass over the tar.

    It must be deterministic and keep no state between entries, since layers are read in parallel.
    """

    @abstractmethod
    def entry(self, entry: 'TarEntry') -> 'TarEntry | None':
        """Return the entry, changed or unchanged, or None to leave it out."""

    def apply(self, image: Image) -> Image:
        """Return the image with every layer rewritten by this filter."""
        from occystrap_core.tar.rewritten_image import rewrite_entries
        return rewrite_entries(image, self.entry, self.settings)
