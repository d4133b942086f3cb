"""Selecting an image of a layout: by tag, name or digest, or the only one that no other image needs."""
from collections.abc import Sequence

from occystrap_core import ImageNotFound, UsageError
from occystrap_core.files import set_error_rule
from occystrap_core.oci import (
    Descriptor, Digest, Index, LayoutEntries, Manifest, Offer, Reference, find_offers, has_glob, independent_images,
    select_entry, select_offer, select_offers,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.place import Place
from occystrap_dir.workspace.names import directory_name

_HOW = '?image=, or its tag behind a colon'


def choose_images(contents: LayoutStore, offers: Sequence[Offer[LayoutEntries]], place: Place, image: str | None,
                  ) -> list[tuple[LayoutEntries, Reference]]:
    """Return the requested images and their names, by default all; `image` is the option of this name.

    Raises ImageNotFound, and UsageError with the choices for a name that several have.
    """
    unnamed = Reference(directory_name(place.root))
    if place.tag and image:
        raise UsageError(f'{place.root}: :{place.tag} and ?image={image} both choose an image: leave out one')
    if image and has_glob(image):
        return select_offers(independent_images(contents.manifest, offers), image, place.root, _HOW)
    if name := place.tag or image:
        return [_by_name(offers, name, place)]
    if place.digest:
        return [_by_digest(offers, place.digest, unnamed)]
    independent = independent_images(contents.manifest, offers)
    if not independent:
        raise ImageNotFound(f'{place.root} holds no image: its index.json lists none', 'manifest-missing')
    return select_offers(independent, None, place.root, _HOW)


def _by_name(offers: Sequence[Offer[LayoutEntries]], name: str, place: Place) -> tuple[LayoutEntries, Reference]:
    if not find_offers(offers, name):
        listed = ', '.join(map(str, offers)) or 'none'
        raise ImageNotFound(f'{place.root} has no image {name}; there is: {listed}', 'manifest-missing')
    entries, reference = select_offer(offers, name, place.root, _HOW)
    selected = select_entry(entries)
    if place.digest and (isinstance(selected, Index) or selected.digest != place.digest):
        raise ImageNotFound(f'{place.root}: {name} is {entries[0].digest}, not {place.digest}', 'manifest-digest')
    return entries, reference


def _by_digest(offers: Sequence[Offer[LayoutEntries]], digest: Digest, unnamed: Reference,
               ) -> tuple[LayoutEntries, Reference]:
    """Return a manifest by its digest: one that index.json lists, or any other in the layout."""
    for offer in offers:
        if offer.hex == digest.hex:
            return offer.image, offer.reference
    return [Descriptor('', digest, -1)], Reference(unnamed.repository, digest=digest)


def read_selected(contents: LayoutStore, selected: Descriptor | Index) -> Manifest | Index:
    """Return the selected manifest or index, its size checked; raises ImageNotFound, InvalidImage."""
    if isinstance(selected, Index):
        return selected
    found = contents.manifest(selected)
    if selected.size not in (-1, len(found.raw)):
        with set_error_rule('manifest'):
            contents.document(selected, 'the manifest')
    return found
