"""The contract of a list of images: a source that names others, such as a file with references or a plan."""
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from occystrap_core.api.uri import Location
from occystrap_core.settings import Settings


class ListedImage(NamedTuple):
    """One entry of a list. A field that is None or empty is taken from the command line."""

    source: str
    """The URI of a source, which may itself name many."""
    destinations: Sequence[str] = ()
    """The URIs of its destinations; may contain fields such as {repository}. The source is read once for all."""
    platform: str | None = None
    filters: Sequence[str] | None = None
    """Filters as on the command line; an empty list means none."""
    where: str = ''
    """The position of the entry, for messages: `mirror.toml: image 3`."""


class ImageList(ABC):
    """Names sources. Declared by an InputScheme like an ImageInput; the run opens the sources."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings
        self.files: Sequence[str] = (location.path,)
        """After `entries`: the files that were read, which the run must not overwrite."""

    @abstractmethod
    def entries(self) -> Iterable[ListedImage]:
        """Return the entries, in order. Raises UsageError, naming file and line, for an entry that cannot be parsed."""

    def stream(self, checked: int = 0) -> Iterable[ListedImage]:
        """Yield the entries without reading a long list completely first; by default those that `entries` returns.

        Mistakes in the first `checked` entries are raised together, as one UsageError, before the first entry. A later
        entry that cannot be parsed is yielded as written: opening its source fails, and the list goes on. A UsageError
        raised later ends the list.
        """
        return self.entries()
