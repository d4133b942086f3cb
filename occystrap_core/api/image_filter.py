"""The contract of a filter."""
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from occystrap_core.image.image import Image
from occystrap_core.settings import Settings

if TYPE_CHECKING:
    from occystrap_core.tar.entry import TarEntry


class ImageFilter(ABC):
    """Turns an image into a filtered image, lazily: no layer is read until the writer reads it.

    The factory is called once for each source and --filter, and perhaps once more to check the options, whose filter is
    dropped: one filter serves all images of the source, and all their destinations.
    """

    repeatable = False
    """Whether the result for a layer depends only on the layer and the options, and the filter has no other effect. The
    result may then be taken from a cache."""
    files: Sequence[str] = ()
    """Paths of other files that the filter writes. The run refuses those that are, or are below, paths of images."""

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        self.options, self.settings = options, settings

    @abstractmethod
    def apply(self, image: Image) -> Image:
        """Return the filtered image, without reading a layer; raises UsageError, InvalidImage.

        Called once for each image and destination, for several images in parallel, on threads of their own
        (Settings.images).
        """


class EntryFilter(ImageFilter):
    """A filter that handles one tar entry at a time. Adjacent entry filters share one pass over the tar.

    It must be deterministic and keep no state between entries, since layers are read in parallel.
    """

    @abstractmethod
    def entry(self, entry: 'TarEntry') -> 'TarEntry | None':
        """Return the entry, changed or unchanged, or None to leave it out; raises InvalidImage.

        Called for several layers in parallel, and again if a layer is read again.
        """

    def apply(self, image: Image) -> Image:
        """Return the image with every layer rewritten by this filter."""
        from occystrap_core.tar.rewritten_image import rewrite_entries
        return rewrite_entries(image, self.entry, self.settings)
