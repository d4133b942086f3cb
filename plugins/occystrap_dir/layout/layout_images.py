"""Which image of a layout is meant: by tag, name or digest, or the only one that stands for itself."""
import re
from collections.abc import Sequence

from occystrap_core import ImageNotFound, UsageError
from occystrap_core.files import ImageError, set_error_rule
from occystrap_core.oci import (
    Descriptor, Digest, Index, LayoutEntries, Manifest, Offer, Reference, find_offers, layout_offers, select_entry,
    select_offer, subject_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.place import Place
from occystrap_dir.workspace.names import directory_name

_HOW = '?image=, or its tag behind a colon'
_HANGING = re.compile(r'sha256-[0-9a-f]{64}(\.[a-z]+)?')
"""Tags of what hangs on a digest: lists of referrers, cosign's signatures."""


def choose_image(contents: LayoutStore, entries: Sequence[Descriptor], place: Place, image: str | None,
                 ) -> tuple[LayoutEntries, Reference]:
    """Return the image meant, and what to call it; `image` is the option of this name.

    Raises ImageNotFound, UsageError, listing the choices, when one of several must be chosen.
    """
    unnamed = Reference(directory_name(place.root))
    offers = layout_offers(entries, unnamed, contents.with_platform)
    if place.tag and image:
        raise UsageError(f'{place.root}: :{place.tag} and ?image={image} both choose an image: leave out one')
    if wanted := place.tag or image:
        return _called(offers, wanted, place)
    if place.digest:
        return _of_digest(offers, place.digest, unnamed)
    alone = _standing_alone(contents, offers)
    if not alone:
        raise ImageNotFound(f'{place.root} holds no image: its index.json lists none', 'manifest-missing')
    return select_offer(alone, None, place.root, _HOW)


def _called(offers: Sequence[Offer[LayoutEntries]], wanted: str, place: Place) -> tuple[LayoutEntries, Reference]:
    if not find_offers(offers, wanted):
        listed = ', '.join(map(str, offers)) or 'none'
        raise ImageNotFound(f'{place.root} has no image {wanted}; there is: {listed}', 'manifest-missing')
    entries, reference = select_offer(offers, wanted, place.root, _HOW)
    selected = select_entry(entries)
    if place.digest and (isinstance(selected, Index) or selected.digest != place.digest):
        raise ImageNotFound(f'{place.root}: {wanted} is {entries[0].digest}, not {place.digest}', 'manifest-digest')
    return entries, reference


def _of_digest(offers: Sequence[Offer[LayoutEntries]], digest: Digest, unnamed: Reference,
               ) -> tuple[LayoutEntries, Reference]:
    """Return a manifest by its digest: one that index.json names, or any other that lies in the layout."""
    for offer in offers:
        if offer.hex == digest.hex:
            return offer.image, offer.reference
    return [Descriptor('', digest, -1)], Reference(unnamed.repository, digest=digest)


def _standing_alone(contents: LayoutStore, offers: Sequence[Offer[LayoutEntries]]) -> list[Offer[LayoutEntries]]:
    """Return the images that are not there for the sake of others.

    Programs may list every manifest that the layout has (oras does), those within indexes and those that refer to
    others too, and one under each of its names and without.
    """
    found = [offer for offer in offers if not all(map(_HANGING.fullmatch, offer.names)) or not offer.names]
    if len(found) < 2 or all(offer.names for offer in found):
        return found
    others = {entry.digest for offer in found if offer.names for entry in offer.image}
    others |= _dependent(contents, [entry for offer in offers for entry in offer.image])
    alone: dict[object, Offer[LayoutEntries]] = {}
    for offer in found:
        if offer.names or others.isdisjoint(entry.digest for entry in offer.image):
            alone.setdefault(next(iter(offer.names), offer.hex), offer)
    return list(alone.values())


def _dependent(contents: LayoutStore, entries: Sequence[Descriptor]) -> set[Digest]:
    """Return the digests of what other entries list, and of what refers to something."""
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
    """Return a manifest, None for what cannot be read: that is for whoever chooses it to hear of."""
    try:
        return contents.manifest(entry)
    except ImageError:
        return None


def found_at(contents: LayoutStore, chosen: Descriptor | Index) -> Manifest | Index:
    """Return the manifest or index that was chosen, its size checked; raises ImageNotFound, InvalidImage."""
    if isinstance(chosen, Index):
        return chosen
    found = contents.manifest(chosen)
    if chosen.size not in (-1, len(found.raw)):
        with set_error_rule('manifest'):
            contents.document(chosen, 'the manifest')
    return found
