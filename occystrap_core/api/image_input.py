"""The contract of an input."""
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings


class ImageInput(ABC):
    """Reads images from one location.

    The scheme's factory is called once for each source that the user or a list names, on the main thread. It must be
    cheap and without side effects, and raises UsageError for a malformed path. On one thread follow `references` or
    `stream`, once, and for each reference `location_of`, `content_key` and `place`. `open` is called once for each
    image, for several images in parallel, on threads of its own (Settings.images). `close` is called once, at the end
    of the run.
    """

    gives_indexes = False
    """Whether `open` may return an ImageIndex, if `settings.platforms` or an option of the scheme requests several
    images."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    @abstractmethod
    def references(self) -> Iterable[Reference]:
        """Return the images that the location names: one, or many for lists and globs.

        Raises ImageNotFound if there is none, and UsageError, listing the choices, if the user must choose one of
        several.
        """

    def stream(self) -> Iterable[Sequence[Reference]]:
        """Yield the images that the location names in parts, as they are found, in any order, each image once.

        Called instead of `references` if images are copied before the last one is known. By default it yields what
        `references` returns, in one part; an input whose names a service lists page by page overrides it. Raises as
        `references` does, perhaps only at the end.
        """
        yield list(self.references())

    @abstractmethod
    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or an index of several, as a context manager. Metadata has been read, no layer has.

        Layers are read until the context ends, several in parallel, on the run's worker threads (Settings.jobs). Raises
        ImageNotFound, InvalidImage, ServiceError.
        """

    def location_of(self, reference: Reference) -> Location:
        """Return the location that names this image alone, if the input's location names several."""
        return self.location

    def content_key(self, reference: Reference) -> Hashable:
        """Return a key that is equal for all names of one image; by default each name is another image.

        Called after `references`. An image is copied only once to a destination that does not keep its name.
        """
        return reference

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest that the name has at the source now; None if only reading the image would tell.

        That is the digest of the manifest or index or, where the source has none, the image ID. Called before `open`,
        on the same threads, to find out whether an image copied by an earlier run is still current. Raises as `open`
        does.
        """
        return None

    def created(self, reference: Reference) -> float | None:
        """Return the time at which the image was made, in seconds since 1970; None if the image does not say.

        By default it reads the metadata. Called after `references`, on the run's worker threads, for `order=created`.
        Raises as `open` does.
        """
        from occystrap_core.image.description import creation_time  # late: only order=created needs it
        with self.open(reference) as content:
            return creation_time(content)

    def place(self, reference: Reference) -> Place | None:
        """Return the place of an image, in the form that an output of the same kind gives it; None if unknown.

        The run refuses to copy an image onto itself. Makes no requests.
        """
        return None

    def close(self) -> None:
        """Close connections and files. Called once, at the end of the run."""
