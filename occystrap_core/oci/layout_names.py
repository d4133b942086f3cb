"""Names of images in a layout as users write them, and the image that a name, a pattern or a digest selects."""
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from occystrap_core.errors import ImageNotFound, UsageError
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.layout import REF_NAME, LayoutEntries, entry_name, select_entry
from occystrap_core.oci.manifest import Index
from occystrap_core.oci.named_images import Offer, find_offers, select_offer, select_offers
from occystrap_core.oci.patterns import has_glob
from occystrap_core.oci.reference import Reference

_NAME = re.compile(r'[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*')
_PINNED = re.compile(r'(.*)@((?:sha256|sha512):.*|[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9A-Za-z=_-]{32,})', re.DOTALL)
"""Any text, @, and a digest, which is recognized by its algorithm or its length."""
_HOW = '?image=, or its tag behind a colon'


class LayoutChoice(NamedTuple):
    """The user's choice of images in a layout: one by name, one by digest, those that `image` matches, or all."""

    place: str
    """The layout, for messages."""
    name: str = ''
    digest: Digest | None = None
    image: str | None = None
    """The value of the option `image`."""

    def of(self, offers: Sequence[Offer[LayoutEntries]], unnamed: Reference,
           independent: Callable[[], Sequence[Offer[LayoutEntries]]]) -> list[tuple[LayoutEntries, Reference]]:
        """Return the chosen images and their references.

        `offers` are all images in the layout; `independent` returns those that are neither parts of others nor
        referrers; `unnamed` is the reference of an image without a name. Raises ImageNotFound, and UsageError with the
        choices for an ambiguous name.
        """
        if self.name and self.image:
            raise UsageError(f'{self.place}: :{self.name} and ?image={self.image} both choose an image: leave out one')
        if self.image and has_glob(self.image):
            return select_offers(independent(), self.image, self.place, _HOW)
        if name := self.name or self.image:
            return [self._named(offers, name)]
        if self.digest:
            return [_with_digest(offers, self.digest, unnamed)]
        if not (found := independent()):
            raise ImageNotFound(f'{self.place} holds no image: its index.json lists none', 'manifest-missing')
        return select_offers(found, None, self.place, _HOW)

    def _named(self, offers: Sequence[Offer[LayoutEntries]], name: str) -> tuple[LayoutEntries, Reference]:
        if not find_offers(offers, name):
            listed = ', '.join(map(str, offers)) or 'none'
            pattern = f': for a pattern write {self.place}?image={name}' if has_glob(name) else ''
            raise ImageNotFound(f'{self.place} has no image {name}{pattern}; available: {listed}', 'manifest-missing')
        entries, reference = select_offer(offers, name, self.place, _HOW)
        selected = select_entry(entries)
        if self.digest and (isinstance(selected, Index) or selected.digest != self.digest):
            raise ImageNotFound(f'{self.place}: {name} is {entries[0].digest}, not {self.digest}', 'manifest-digest')
        return entries, reference


class ChosenEntries:
    """The images chosen of a layout, by reference, each with its entries in the list of images."""

    def __init__(self, place: str) -> None:
        """`place` names the layout in messages."""
        self._place = place
        self._entries: dict[Reference, LayoutEntries] = {}

    def add(self, found: Iterable[tuple[LayoutEntries, Reference]]) -> list[Reference]:
        """Add images, and return the references of all; raises UsageError if two different images have one."""
        for entries, reference in found:
            if self._entries.setdefault(reference, entries) != entries:
                raise UsageError(f'{self._place} has several images {reference}: choose one by its digest, @sha256:…')
        return list(self._entries)

    def __contains__(self, reference: Reference) -> bool:
        return reference in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, reference: Reference) -> LayoutEntries:
        return self._entries[reference]

    def digests(self, reference: Reference) -> tuple[Digest, ...]:
        """Return the digests of the image's entries, which are the same for all its names."""
        return tuple(entry.digest for entry in self._entries[reference])

    def digest(self, reference: Reference) -> Digest | None:
        """Return the digest of the image's entry, None for an image of several."""
        digests = self.digests(reference)
        return digests[0] if len(digests) == 1 else None

    def name(self, reference: Reference) -> str:
        """Return the name of an image in the layout, empty if it has none or was not chosen."""
        named = [each.annotations.get(REF_NAME) or entry_name(each) for each in self._entries.get(reference, ())]
        return next(filter(None, named), '')

    def option(self, reference: Reference) -> str:
        """Return the value of `?image=` that selects this one of several images: its name, else its digest."""
        return self.name(reference) or str(self.digests(reference)[0])


def require_layout_name(name: str) -> str:
    """Return `name` if image-spec annotations.md allows it as the name of an image; raises UsageError."""
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise UsageError(f'{name[:100]!r} cannot name an image in a layout: letters, digits, and - . _ : @ + / between '
                         'them are allowed')
    return name


def split_pinned(text: str) -> tuple[str, Digest | None]:
    """Return what is before a digest at the end, and the digest, None without one; raises InvalidImage for a malformed
    one."""
    pinned = _PINNED.fullmatch(text)
    return (pinned[1], Digest(pinned[2])) if pinned else (text, None)


def _with_digest(offers: Sequence[Offer[LayoutEntries]], digest: Digest, unnamed: Reference,
                 ) -> tuple[LayoutEntries, Reference]:
    """Return a manifest by its digest: listed in index.json, or any other in the layout."""
    for offer in offers:
        if offer.hex == digest.hex:
            return offer.image, offer.reference
    return [Descriptor('', digest, -1)], Reference(unnamed.repository, digest=digest)
