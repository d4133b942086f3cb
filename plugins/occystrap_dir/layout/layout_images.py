"""Selecting an image of a layout: by tag, name or digest, or the only one that belongs to no other image."""
from collections.abc import Sequence

from occystrap_core.oci import LayoutChoice, LayoutEntries, Offer, Reference, independent_images
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.place import Place
from occystrap_dir.workspace.names import directory_name


def choose_images(contents: LayoutStore, offers: Sequence[Offer[LayoutEntries]], place: Place, image: str | None,
                  ) -> list[tuple[LayoutEntries, Reference]]:
    """Return the requested images and their names, by default all; `image` is the option of this name.

    Raises ImageNotFound, and UsageError with the choices for a name that several have.
    """
    choice = LayoutChoice(place.root, place.tag, place.digest, image)
    return choice.of(offers, Reference(directory_name(place.root)),
                     lambda: independent_images(contents.manifest, offers))
