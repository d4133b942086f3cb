"""Checks whether the two lists of images agree that Docker 25 and newer write: manifest.json and index.json.

Programs read either: docker and podman mostly the first, containerd and skopeo's oci-archive the second.
"""
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from occystrap_core import InvalidImage
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, Digest, Index, LayoutEntries, Offer, is_referrer_tag, layout_offers,
)
from occystrap_tar.archive.docker_archive import ArchivedImage, offers
from occystrap_tar.archive.members import MANIFEST, Archive
from occystrap_tar.archive.oci_archive import ArchiveStore, name_keys, read_index, stored_key

RULE = 'archive-lists-differ'
_ANY = ''
"""The key of images without a name, or with one that the other list may lack."""


@dataclass
class _Stored:
    """An image in index.json, perhaps of several platforms, and its name, empty if it has none."""

    name: str
    image_ids: set[Digest] = field(default_factory=set)
    is_whole: bool = True
    """Whether all manifests that it leads to are present: `docker save` leaves out those of other platforms."""

    @property
    def key(self) -> str:
        """The key by which its name is compared with names in manifest.json."""
        return stored_key(self.name) if '@' not in self.name else _ANY

    def may_have(self, image_id: Digest | None) -> bool:
        """Return whether it contains an image, or may contain it in a missing manifest."""
        return image_id in self.image_ids or not self.is_whole


def require_agreement(archive: Archive) -> None:
    """Raise InvalidImage if the archive has both lists and they name different images; raises OSError.

    A list that cannot be read does not count: its readers get an error.
    """
    if not archive.has_both_lists:
        return
    saved = offers(archive)
    try:
        stored = list(_stored(archive))
    except ImageError:
        return
    if problem := next(chain(_missing_from_index(saved, stored), _missing_from_manifest(saved, stored)), None):
        raise InvalidImage(f'{archive.name}: {MANIFEST} and {INDEX_FILE} list different images: {problem}, and '
                           'programs may read either one: save the images again', RULE)


def _missing_from_index(saved: Sequence[Offer[ArchivedImage]], stored: Sequence[_Stored]) -> Iterator[str]:
    """Yield the names in manifest.json that index.json lacks, or has for another image."""
    listed: defaultdict[str, list[_Stored]] = defaultdict(list)
    for each in stored:
        listed[each.key].append(each)
    for offer in saved:
        image_id = offer.image.image_id
        for name in offer.names:
            whole, tag = name_keys(name)
            found = listed.get(whole) or listed.get(tag) or listed[_ANY]
            if not any(each.may_have(image_id) for each in found):
                yield f'{name} is {image_id} in {MANIFEST}, in {INDEX_FILE} {_shown(found)}'
        if not offer.names and not any(each.may_have(image_id) for each in stored):
            yield f'{image_id} is in {MANIFEST} alone'


def _missing_from_manifest(saved: Sequence[Offer[ArchivedImage]], stored: Sequence[_Stored]) -> Iterator[str]:
    """Yield the images in index.json that manifest.json lacks, or has under other names."""
    listed: defaultdict[str, set[Digest | None]] = defaultdict(set)
    for offer in saved:
        listed[_ANY].add(offer.image.image_id)
        for name in offer.names:
            for key in name_keys(name):
                listed[key].add(offer.image.image_id)
    for each in stored:
        is_known = bool(each.image_ids) or bool(each.name) and not each.is_whole
        found = listed.get(each.key, set())
        if is_known and not (found if not each.is_whole else found & each.image_ids):
            yield f'{each.name or "an image without a name"} is {_shown([each])} in {INDEX_FILE} alone'


def _shown(stored: Sequence[_Stored]) -> str:
    return ', '.join(sorted({image_id for each in stored for image_id in each.image_ids})) or 'it is none'


def _stored(archive: Archive) -> Iterator[_Stored]:
    """Yield what index.json lists, without referrers; raises InvalidImage."""
    for offer in layout_offers(read_index(archive).manifests):
        if not is_referrer_tag(*offer.names):
            stored = _Stored(next(iter(offer.names), ''))
            _follow(ArchiveStore(archive), offer.image, stored)
            yield stored


def _follow(store: ArchiveStore, entries: LayoutEntries, stored: _Stored) -> None:
    """Collect the configs of the images that entries reach; an artifact has none."""
    seen, pending = set[Digest](), list(entries)
    for entry in pending:
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        try:
            document = store.manifest(entry)
        except ImageError:
            stored.is_whole = False
            continue
        if isinstance(document, Index):
            pending += document.manifests
        elif document.may_be_image:
            stored.image_ids.add(document.config.digest)
