"""Referrers of an image in a layout: manifests with it as their subject, and those under tags for its digest."""
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from occystrap_core import InvalidImage
from occystrap_core.oci import (
    COSIGN_SUFFIXES, REF_NAME, Descriptor, Digest, Index, Manifest, media_types, referrers_tag, subject_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore

_READABLE = (*media_types.MANIFESTS, *media_types.INDEXES)


class Referrers:
    """Reads every manifest that an index.json lists, once."""

    def __init__(self, contents: LayoutStore, entries: Sequence[Descriptor]) -> None:
        self._contents = contents
        self._entries = [entry for entry in entries if entry.media_type in _READABLE]

    def of(self, subject: Digest) -> tuple[list[Descriptor], list[tuple[str, Manifest | Index]]]:
        """Return the referrers of a digest, and the manifests under cosign's tags for it; raises ImageError."""
        tagged = [(tag, self._contents.manifest(self._by_tag[tag]))
                  for tag in (referrers_tag(subject) + suffix for suffix in COSIGN_SUFFIXES) if tag in self._by_tag]
        listed = [*self._by_subject[subject], *self._listed_under_tag(subject)]
        return list({entry.digest: entry for entry in listed}.values()), tagged

    def _listed_under_tag(self, subject: Digest) -> Sequence[Descriptor]:
        """Return the referrers listed under the fallback tag of registries without the API, which regclient also uses.
        """
        entry = self._by_tag.get(referrers_tag(subject))
        found = self._contents.manifest(entry) if entry else None
        if isinstance(found, Manifest):
            raise InvalidImage(f'{self._contents.root}: {referrers_tag(subject)} should list referrers, but is not an '
                               'index')
        return found.manifests if found else ()

    @cached_property
    def _by_subject(self) -> defaultdict[Digest, list[Descriptor]]:
        found: defaultdict[Digest, list[Descriptor]] = defaultdict(list)
        for entry in self._entries:
            if subject := subject_of(self._contents.manifest(entry)):
                found[subject].append(entry)
        return found

    @cached_property
    def _by_tag(self) -> dict[str, Descriptor]:
        return {entry.annotations[REF_NAME]: entry for entry in self._entries if REF_NAME in entry.annotations}
