"""Selecting an image of a layout: by tag, name or digest, or the only one that no other image needs."""
import re
from collections.abc import Sequence

from occystrap_core import ImageNotFound, UsageError
from occystrap_core.files import ImageError, set_error_rule
from occystrap_core.oci import (
    Descriptor, Digest, Index, LayoutEntries, Manifest, Offer, Reference, find_offers, has_glob, layout_offers,
    select_entry, select_offer, select_offers, subject_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.place import Place
from occystrap_dir.workspace.names import directory_name

_HOW = '?image=, or its tag behind a colon'
_REFERRER_TAG = re.compile(r'sha(?:256|512)-[0-9a-f]{64}(\.[a-z]+)?')
"""Tags that belong to a digest: lists of referrers, cosign's signatures."""


def choose_images(contents: LayoutStore, entries: Sequence[Descriptor], place: Place, image: str | None,
                  ) -> list[tuple[LayoutEntries, Reference]]:
    """Return the requested images and their names, by default all; `image` is the option of this name.

    Raises ImageNotFound, and UsageError with the choices for a name that several have.
    """
    unnamed = Reference(directory_name(place.root))
    offers = layout_offers(entries, unnamed, contents.with_platform)
    if place.tag and image:
        raise UsageError(f'{place.root}: :{place.tag} and ?image={image} both choose an image: leave out one')
    if image and has_glob(image):
        return select_offers(offers, image, place.root, _HOW)
    if name := place.tag or image:
        return [_by_name(offers, name, place)]
    if place.digest:
        return [_by_digest(offers, place.digest, unnamed)]
    independent = _independent(contents, offers)
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


def _independent(contents: LayoutStore, offers: Sequence[Offer[LayoutEntries]]) -> list[Offer[LayoutEntries]]:
    """Return the images that are neither parts of a listed index nor referrers.

    Programs may list every manifest in the layout (oras does), including parts of indexes and referrers, and list one
    manifest under each of its names and also without a name.
    """
    found = [offer for offer in offers if not all(map(_REFERRER_TAG.fullmatch, offer.names)) or not offer.names]
    if len(found) < 2 or all(offer.names for offer in found):
        return found
    others = {entry.digest for offer in found if offer.names for entry in offer.image}
    others |= _dependent(contents, [entry for offer in offers for entry in offer.image])
    independent: dict[object, Offer[LayoutEntries]] = {}
    for offer in found:
        if offer.names or others.isdisjoint(entry.digest for entry in offer.image):
            independent.setdefault(next(iter(offer.names), offer.hex), offer)
    return list(independent.values())


def _dependent(contents: LayoutStore, entries: Sequence[Descriptor]) -> set[Digest]:
    """Return the digests of parts of the listed indexes, and of referrers."""
    dependent, seen, pending = set[Digest](), set[Digest](), list(entries)
    for entry in pending:
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        document = _read(contents, entry)
        if document and subject_of(document):
            dependent.add(entry.digest)
        if isinstance(document, Index):
            dependent.update(each.digest for each in document.manifests)
            pending += document.manifests
    return dependent


def _read(contents: LayoutStore, entry: Descriptor) -> Manifest | Index | None:
    """Return a manifest, None if it cannot be read; that is an error only if it is selected."""
    try:
        return contents.manifest(entry)
    except ImageError:
        return None


def read_selected(contents: LayoutStore, selected: Descriptor | Index) -> Manifest | Index:
    """Return the selected manifest or index, its size checked; raises ImageNotFound, InvalidImage."""
    if isinstance(selected, Index):
        return selected
    found = contents.manifest(selected)
    if selected.size not in (-1, len(found.raw)):
        with set_error_rule('manifest'):
            contents.document(selected, 'the manifest')
    return found
