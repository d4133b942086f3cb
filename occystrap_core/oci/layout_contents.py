"""What the entries of an index.json reach: blobs, parts of indexes, referrers."""
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain

from occystrap_core.errors import ImageError, InvalidImage
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.index_file import IndexFile
from occystrap_core.oci.layout import REF_NAME, LayoutEntries
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.named_images import Offer
from occystrap_core.oci.referrers import COSIGN_SUFFIXES, is_referrer_tag, referrers_tag, subject_of

ReadManifest = Callable[[Descriptor], Manifest | Index]
"""Reads the manifest of an entry; raises ImageError."""
_DAMAGE = ('missing', 'digest', 'size')
_READABLE = (*media_types.MANIFESTS, *media_types.INDEXES)


def blobs_below(manifest: ReadManifest, entries: Iterable[Descriptor]) -> set[Digest]:
    """Return the digests of all blobs that these entries reach, including their manifests; raises ImageError."""
    found, pending = set[Digest](), list(entries)
    for entry in pending:
        if entry.digest in found:
            continue
        document = manifest(entry)
        found.add(entry.digest)
        if isinstance(document, Index):
            pending += document.manifests
        else:
            found.update(each.digest for each in (document.config, *document.layers))
    return found


def find_named(index: IndexFile, manifest: ReadManifest, name: str, digest: Digest, exact: bool, other_name: str = '',
               ) -> tuple[Descriptor | None, str]:
    """Return the entry of a manifest, and in words what keeps programs from finding the manifest by it.

    See IndexFile.find_manifest. Whether the manifest itself is missing or damaged is not checked here.
    """
    found, problem = index.find_manifest(name, digest, exact, other_name)
    return found, _unfit(manifest, found) if found and not problem else problem


def find_referrer(manifest: ReadManifest, entries: Sequence[Descriptor], digest: Digest,
                  ) -> tuple[Descriptor | None, str]:
    """Return the entry by which readers of a layout find a referrer, and in words what keeps them from finding it.

    The entry is in index.json, or in a list under a tag for the referrer's subject.
    """
    lists = (_read(manifest, entry) for entry in entries if is_referrer_tag(entry.annotations.get(REF_NAME, '')))
    listed = chain(entries, (each for found in lists if isinstance(found, Index) for each in found.manifests))
    entry = next((each for each in listed if each.digest == digest), None)
    return entry, _unfit(manifest, entry) if entry else 'is not listed in index.json'


def _unfit(manifest: ReadManifest, entry: Descriptor) -> str:
    """Return why a manifest contradicts its entry, for example by its media type; damage is not reported."""
    try:
        manifest(entry)
    except ImageError as error:
        return '' if error.problem in _DAMAGE else str(error)
    return ''


def independent_images(manifest: ReadManifest, offers: Sequence[Offer[LayoutEntries]]) -> list[Offer[LayoutEntries]]:
    """Return the images that are neither parts of a listed index nor referrers.

    Programs may list every manifest in the layout (oras does), including parts of indexes and referrers, and list one
    manifest under each of its names and also without a name.
    """
    found = [offer for offer in offers if not is_referrer_tag(*offer.names)]
    if len(found) < 2 or all(offer.names for offer in found):
        return found
    others = {entry.digest for offer in found if offer.names for entry in offer.image}
    others |= _dependent(manifest, [entry for offer in offers for entry in offer.image])
    independent: dict[object, Offer[LayoutEntries]] = {}
    for offer in found:
        if offer.names or others.isdisjoint(entry.digest for entry in offer.image):
            independent.setdefault(next(iter(offer.names), offer.hex), offer)
    return list(independent.values())


def _dependent(manifest: ReadManifest, entries: Sequence[Descriptor]) -> set[Digest]:
    """Return the digests of parts of the listed indexes, and of referrers."""
    dependent, seen, pending = set[Digest](), set[Digest](), list(entries)
    for entry in pending:
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        document = _read(manifest, entry)
        if document and subject_of(document):
            dependent.add(entry.digest)
        if isinstance(document, Index):
            dependent.update(each.digest for each in document.manifests)
            pending += document.manifests
    return dependent


def _read(manifest: ReadManifest, entry: Descriptor) -> Manifest | Index | None:
    """Return a manifest, None if it cannot be read, which is an error only if it is selected."""
    try:
        return manifest(entry)
    except ImageError:
        return None


class LayoutReferrers:
    """Referrers of an image in a layout: manifests with it as their subject, and those under tags for its digest.

    Reads every manifest that an index.json lists, once.
    """

    def __init__(self, manifest: ReadManifest, entries: Sequence[Descriptor], place: str) -> None:
        """`place` names the layout in messages."""
        self._manifest, self._place = manifest, place
        self._entries = [entry for entry in entries if entry.media_type in _READABLE]

    def of(self, subject: Digest) -> tuple[list[Descriptor], list[tuple[str, Manifest | Index]]]:
        """Return the referrers of a digest, and the manifests under cosign's tags for it; raises ImageError."""
        tagged = [(tag, self._manifest(self._by_tag[tag]))
                  for tag in (referrers_tag(subject) + suffix for suffix in COSIGN_SUFFIXES) if tag in self._by_tag]
        listed = [*self._by_subject[subject], *self._listed_under_tag(subject)]
        return list({entry.digest: entry for entry in listed}.values()), tagged

    def _listed_under_tag(self, subject: Digest) -> Sequence[Descriptor]:
        """Return the referrers listed under the fallback tag of registries without the API, which regclient also uses.
        """
        entry = self._by_tag.get(referrers_tag(subject))
        found = self._manifest(entry) if entry else None
        if isinstance(found, Manifest):
            raise InvalidImage(f'{self._place}: {referrers_tag(subject)} should list referrers, but is not an index')
        return found.manifests if found else ()

    @cached_property
    def _by_subject(self) -> defaultdict[Digest, list[Descriptor]]:
        found: defaultdict[Digest, list[Descriptor]] = defaultdict(list)
        for entry in self._entries:
            if subject := subject_of(self._manifest(entry)):
                found[subject].append(entry)
        return found

    @cached_property
    def _by_tag(self) -> dict[str, Descriptor]:
        return {entry.annotations[REF_NAME]: entry for entry in self._entries if REF_NAME in entry.annotations}
