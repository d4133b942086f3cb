"""The contract of an input."""
from abc import ABC, abstractmethod
from collections.abc import Iterable

from occystrap_core.image.image import Image
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.uri import Location


class ImageInput(ABC):
    """Reads images from one location. Making one is cheap; what is wrong with its path raises UsageError there."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    @abstractmethod
    def references(self) -> Iterable[Reference]:
        """Return the images that the location names: one, or many for lists and globs.

        Raises ImageNotFound when it names none, UsageError, listing the choices, when one of several must be chosen.
        """

    @abstractmethod
    def open(self, reference: Reference) -> Image:
        """Return the image, a context manager, having read its metadata but no layer.

        Raises ImageNotFound, InvalidImage, ServiceError.
        """

    def close(self) -> None:
        """Let go of connections and files; called once, at the end of the run."""
