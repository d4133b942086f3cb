"""What the entries of an index.json reach: blobs, referrers."""
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from occystrap_core.errors import InvalidImage
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.layout import REF_NAME
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.referrers import COSIGN_SUFFIXES, referrers_tag, subject_of

ReadManifest = Callable[[Descriptor], Manifest | Index]
"""Reads the manifest of an entry; raises ImageError."""
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
