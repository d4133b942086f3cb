"""All images of a layout: those with records, and those of other programs, which are only in index.json."""
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from occystrap_core import ImageNotFound
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    INDEX_FILE, Descriptor, Digest, Entry, IndexFile, LayoutEntries, Offer, Reference, independent_images,
    is_referrer_tag, layout_offers, names_of, referrers_tag, subject_of,
)
from occystrap_s3.layout.bucket_layout import BucketLayout, Record
from occystrap_s3.layout.bucket_store import BucketStore
from occystrap_s3.layout.keys import key_of


class ImageList(NamedTuple):
    """The images of a layout: records by their keys, and entries of index.json without a record.

    `version` is the ETag of index.json, empty if there is none; `is_any`: whether there is an index.json or a record,
    perhaps of a removed image.
    """

    records: Sequence[tuple[str, Record]]
    others: Sequence[Entry]
    version: str
    is_any: bool

    @classmethod
    def of(cls, layout: BucketLayout) -> 'ImageList':
        """Read index.json and all records; raises InvalidImage for a damaged one, ServiceError.

        The index is read first. So a writer that replaces it only if it is unchanged has seen all records that were in
        it.
        """
        index, version = _index(layout)
        keys = layout.names()
        found = [(key, record) for key, record in zip(keys, layout.records(keys), strict=True) if record]
        known = set(keys)
        others = [entry for entry in index.entries if key_of(entry) not in known]
        images = [each.descriptor.digest for _, each in found if each.descriptor]
        return cls([each for each in found if each[1].entry], _without_old_referrers(layout, others, images), version,
                   bool(version or found))

    def offers(self, layout: BucketLayout, unnamed: Reference) -> list[Offer[LayoutEntries]]:
        """Return the images among which users may choose; raises InvalidImage, ServiceError."""
        known = [record.descriptor for _, record in self.records if record.descriptor]
        others = IndexFile.listing(self.others).manifests
        store = BucketStore(layout)
        return [*layout_offers(known, unnamed),
                *independent_images(store.manifest, layout_offers(others, unnamed, store.with_platform))]

    @property
    def entries(self) -> list[Entry]:
        """All entries, including referrers: what an index.json should list."""
        return [*self.others, *(entry for _, record in self.records for entry in record.listed.entries)]


def _index(layout: BucketLayout) -> tuple[IndexFile, str]:
    try:
        raw, version = layout.bucket.document(layout.key(INDEX_FILE))
    except ImageNotFound:
        return IndexFile.empty(), ''
    return IndexFile.parse(raw, f'{layout}/{INDEX_FILE}'), version


def _without_old_referrers(layout: BucketLayout, others: Sequence[Entry], images: Collection[Digest]) -> list[Entry]:
    """Return the entries without referrers of images that are no longer listed: they came with images replaced since.
    """
    subjects = dict(zip(map(id, others), _subjects(layout, others), strict=True))
    listed = {*images, *(Digest(each['digest']) for each in others if subjects[id(each)] is None)}
    tags = {referrers_tag(each) for each in listed}
    return [each for each in others if subjects[id(each)] is None or subjects[id(each)] in listed
            or any(name.partition('.')[0] in tags for name in names_of(each))]


def _subjects(layout: BucketLayout, entries: Sequence[Entry]) -> Iterator[Digest | str | None]:
    """Yield the subjects of each entry, by its manifest or by its tag; None if it is not a referrer."""
    store = BucketStore(layout)
    for entry in entries:
        names = names_of(entry) - {''}
        if names:
            yield min(names) if is_referrer_tag(*names) else None
            continue
        try:
            yield subject_of(store.manifest(Descriptor.from_json(entry, 'the entry')))
        except ImageError:
            yield None
