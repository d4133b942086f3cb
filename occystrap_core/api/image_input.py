"""The contract of an input."""
from abc import ABC, abstractmethod
from collections.abc import Iterable

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.image.image import Image
from occystrap_core.image.image_index import ImageIndex
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings


class ImageInput(ABC):
    """Reads images from one location.

    The scheme's factory is called once for each source that the user or a list names, on the main thread: it must be
    cheap, without effects, and raises UsageError for what is wrong with the path. Then, once each, on the same thread,
    `references`, and for each of these `location_of` and `place`; `open` once for each image, for several images at
    once, on threads of theirs (Settings.images); `close` once, at the end of the run, after all.
    """

    gives_indexes = False
    """Whether `open` may return an ImageIndex, when `settings.platforms` or an option of its own asks for several."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    @abstractmethod
    def references(self) -> Iterable[Reference]:
        """Return the images that the location names: one, or many for lists and globs.

        Raises ImageNotFound when it names none, UsageError, listing the choices, when one of several must be chosen.
        """

    @abstractmethod
    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or an index of several, a context manager, having read its metadata but no layer.

        Its layers are read until the context ends, several at once, on the run's worker threads (Settings.jobs).
        Raises ImageNotFound, InvalidImage, ServiceError.
        """

    def location_of(self, reference: Reference) -> Location:
        """Return the location that names this one of its images alone, where there are several."""
        return self.location

    def place(self, reference: Reference) -> Place | None:
        """Return the place where one of its images lies, as an output of the same kind tells it; None if nobody knows.

        The run refuses to copy an image onto itself. Asks nobody.
        """
        return None

    def close(self) -> None:
        """Let go of connections and files; called once, at the end of the run."""
