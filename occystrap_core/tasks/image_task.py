"""One image to copy, with its own destination and output."""
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.reference import Reference
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.tasks.source_use import SourceUse

if TYPE_CHECKING:
    from occystrap_core.api.image_filter import ImageFilter

WHOLE = ' --platform=all'
"""Appended to a receipt's source if an index was to be copied as a whole."""


class TaskOutput:
    """The output of one image: made once, before anything is read, and dropped after use."""

    def __init__(self, make: Callable[[], ImageOutput]) -> None:
        self._make = make
        self._output: ImageOutput | None = None

    @property
    def location(self) -> Location:
        """The output's own location."""
        return self.made().location

    def made(self) -> ImageOutput:
        """Return the output; raises as its factory does."""
        if self._output is None:
            self._output = self._make()
        return self._output

    def taken(self) -> ImageOutput:
        """Return the output, which its last user takes over."""
        output, self._output = self.made(), None
        return output


class ImageTask(NamedTuple):
    """One image to copy: its source, its destination (as written, and filled in), its filters, and its report."""

    images: ImageInput
    reference: Reference
    source: str
    written: Location
    destination: Location
    filters: 'Sequence[ImageFilter]'
    recipe: str | None
    settings: Settings
    report: ImageReport
    output: TaskOutput
    use: SourceUse
    chosen: bool
    """Whether the user named this image, not only a pattern or a place that has it among others."""
    entry: int = 0
    """The number of the command line's or list's entry that it comes from, counted once for all its destinations."""
    place: Place = Place()
    form: Hashable = None
    """A key for what determines the output besides the image (WriterScheme.form)."""

    @property
    def lane(self) -> int:
        """The number of its destination among those of its source."""
        return self.settings.lane

    @property
    def recorded(self) -> str:
        """The source as receipts state it: with the choice of platforms, even if the destination made it."""
        return self.source + (WHOLE if self._is_whole and self.images.gives_indexes else '')

    @property
    def is_as_named(self) -> bool:
        """Whether the destination gets, byte for byte, what the name means at the source."""
        return self._is_whole and not self.filters

    def digest_there(self) -> Digest | None:
        """Return the digest that the image's name has at the destination; None if unknown, or if copying changes it.

        Raises as `ImageOutput.present_digest`.
        """
        return self.output.made().present_digest(self.reference) if self.is_as_named else None

    @property
    def _is_whole(self) -> bool:
        return self.settings.whole_index and not (self.settings.platform or self.settings.platforms)


def places_of(task: ImageTask) -> Iterator[tuple[str, str]]:
    """Yield the schemes and paths of source and destination; empty paths for services."""
    return paths_of(task.images, task.reference, task.destination, task.place)


def paths_of(images: ImageInput, reference: Reference, destination: Location, place: Place,
             ) -> Iterator[tuple[str, str]]:
    """Yield the same as `places_of`, for an image that has this place at its destination."""
    source, lies = images.location_of(reference), images.place(reference)
    yield source.scheme, source.path if lies is None else lies.path
    unknown = (place.name or '').startswith(f'{destination.scheme}://')  # then the path of the location is used
    yield destination.scheme, destination.path if unknown else place.path
