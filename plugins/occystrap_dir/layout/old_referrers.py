"""Referrers in a layout that belong to a replaced image, or that other programs put there."""
import re
from collections.abc import Collection, Iterable, Sequence

from occystrap_core import Receipt
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    Descriptor, Digest, Entry, IndexFile, blobs_below, canonical, is_referrer_tag, names_of, referrers_tag, subject_of,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.workspace.receipts import kept_receipts

_TAG = re.compile(r'(?:.*:)?(sha(?:256|512)-[0-9a-f]{64})')


def referrers_without_subject(root: str, index: IndexFile, replaced: Iterable[Receipt], new: Iterable[Receipt],
                              ) -> Collection[Digest]:
    """Return the digests of entries that came with `replaced` images and refer to something that is no longer in the
    layout.

    Entries in the receipts of `new` images, or of others in the layout, stay; all stay if the layout cannot be read.
    """
    brought = {each.digest for receipt in replaced for each in receipt.of_kind('entry')[1:]}
    brought -= {each.digest for receipt in new for each in receipt.of_kind('entry')}
    entries = [each for each in index.entries if Digest.of(canonical(each)) in brought] if brought else []
    if not entries:
        return ()
    gone = {each.identity for each in replaced}
    others = {each.digest for receipt in kept_receipts(root) if receipt.identity not in gone
              for each in receipt.of_kind('entry')}
    going = [each for each in entries if Digest.of(canonical(each)) not in others]
    try:
        return {Digest.of(canonical(each)) for each in _without_subject(LayoutStore(root), index, going)}
    except ImageError:
        return ()


def is_referrer(root: str, entry: Entry) -> bool:
    """Return whether an entry is a referrer: it has a tag made from a digest, or no name and a subject."""
    if names_of(entry) != {''}:
        return is_referrer_tag(*names_of(entry))
    try:
        return subject_of(LayoutStore(root).manifest(Descriptor.from_json(entry, 'the entry'))) is not None
    except ImageError:
        return False


def _without_subject(store: LayoutStore, index: IndexFile, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries whose subject is neither another entry nor one of those that stay."""
    described = {id(each): Descriptor.from_json(each, 'the entry') for each in entries}
    lost = {each.digest for each in described.values()}
    there = blobs_below(store.manifest, (each for each in index.manifests if each.digest not in lost))
    left = list(entries)
    while staying := [each for each in left if _refers_to(store, each, described[id(each)], there)]:
        left = [each for each in left if each not in staying]
        there |= blobs_below(store.manifest, (described[id(each)] for each in staying))
    return left


def _refers_to(store: LayoutStore, entry: Entry, descriptor: Descriptor, there: Collection[Digest]) -> bool:
    tags = {found[1] for name in names_of(entry) if (found := _TAG.match(name))}
    if tags:
        return any(referrers_tag(each) in tags for each in there)
    return subject_of(store.manifest(descriptor)) in there
