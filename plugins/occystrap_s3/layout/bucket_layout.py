"""A layout in a bucket: the records of its images, each an index of its own, and their receipts."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from occystrap_core import (
    ImageNotFound, InvalidImage, Location, OccystrapError, Place as PlaceOfImage, Receipt, ServiceError, Settings,
)
from occystrap_core.oci import MANIFEST_CAP, Descriptor, Digest, Entry, IndexFile
from occystrap_s3.bucket.bucket import Bucket, Conflict, NoConditions, unchanged
from occystrap_s3.bucket.connection import Connection
from occystrap_s3.layout.keys import (
    RECEIPTS, RECORDS, expected_key, is_record, key_of, prefix_of_receipt, receipt_key, receipts_prefix, record_key,
)
from occystrap_s3.layout.place import Place

_RECEIPT_CAP = 16 * MANIFEST_CAP
_TIMES = 20


class Record(NamedTuple):
    """The record of one image: its entry, then those of its referrers; empty if the image was removed.

    `key` is its key in the layout, `version` the ETag of the object.
    """

    key: str
    raw: bytes
    listed: IndexFile
    version: str

    @property
    def entry(self) -> Entry | None:
        """The entry of the image."""
        return next(iter(self.listed.entries), None)

    @property
    def descriptor(self) -> Descriptor | None:
        """The manifest or index of the image."""
        return next(iter(self.listed.manifests), None)


class BucketLayout:
    """The layout at a prefix."""

    def __init__(self, place: Place, bucket: Bucket) -> None:
        self.place, self.bucket = place, bucket

    @classmethod
    def at(cls, location: Location, settings: Settings, place: Place | None = None) -> 'BucketLayout':
        """Return the layout of a location; makes no request. Raises UsageError."""
        place = place or Place.parse(location.path)
        return cls(place, Bucket(place.bucket, Connection.of(location.options), settings))

    def __str__(self) -> str:
        return str(self.place)

    def key(self, name: str) -> str:
        """Return the whole key of something in the layout."""
        return self.place.base + name

    def place_of(self, name: str) -> PlaceOfImage:
        """Return the place of an image with a name; without one it replaces no other."""
        there = self.bucket.connection.endpoint or 'amazonaws.com'
        return PlaceOfImage('', f'{there} {self.place.path}//{name}' if name else '')

    def require(self) -> None:
        """Raise NoBucket, AccessDenied, ServiceError unless objects can be listed there."""
        self.bucket.require(self.place.base)

    def names(self) -> list[str]:
        """Return the keys of all records; raises ServiceError."""
        names = (key.removeprefix(self.place.base) for key in self.bucket.keys(self.key(RECORDS)))
        return [*filter(is_record, names)]

    def record(self, key: str) -> Record | None:
        """Return a record, None if there is none; raises InvalidImage, also if it is for another image, ServiceError.
        """
        try:
            raw, version = self.bucket.document(self.key(key))
        except ImageNotFound:
            return None
        found = Record(key, raw, IndexFile.parse(raw, f'{self.place}/{key}'), version)
        if found.entry and (belongs := key_of(found.entry)) != key:
            raise InvalidImage(f'{self.place}/{key} is the record of another image, which belongs at {belongs}: remove '
                               'it, and copy the image again whose record was there')
        return found

    def record_of(self, name: str) -> Record | None:
        """Return the record of the image with a name, None if there is none or it was removed; raises as `record` does.
        """
        found = self.record(record_key(name, Digest.of(b'')))
        return found if found and found.entry else None

    def records(self, keys: Sequence[str]) -> list[Record | None]:
        """Return the records with these keys, read in parallel; raises as `record` does."""
        return self.bucket.settings.in_parallel(self.record, keys)

    def put_record(self, key: str, entries: Sequence[Entry], receipt: Receipt) -> None:
        """Make an image visible by its record; its receipt, which is tied to this very record, is written first.

        The receipt also gets the bringers of the image that is there, if that is the same. Raises ServiceError.
        """
        raw = IndexFile.listing(entries).to_json()
        if kept := self._kept(key, Digest(entries[0]['digest'])):
            receipt = receipt.brought_also_by(kept.brought_by)
        self._put_receipt(key, raw, lambda other: receipt.brought_also_by(other.brought_by) if other else receipt)
        self.bucket.put(self.key(key), raw)

    def note_bringers(self, record: Record, receipt: Receipt, withdrawn: bool) -> None:
        """Add the bringers of another receipt to that for a record, or remove them; raises as `receipt` does."""
        def changed(kept: Receipt | None) -> Receipt:
            if kept is None:
                raise ImageNotFound(f'{self}: the receipt of {record.key} is gone')
            left = tuple(each for each in kept.brought_by if each not in receipt.brought_by)
            return replace(kept, brought_by=left) if withdrawn else kept.brought_also_by(receipt.brought_by)
        self._put_receipt(record.key, record.raw, changed, self.receipt_with_version(record))

    def _put_receipt(self, key: str, record: bytes, make: Callable[[Receipt | None], Receipt],
                     found: tuple[Receipt | None, str] = (None, '')) -> None:
        """Write the receipt for a record that `make` returns for the one that is there, whose ETag is the other half of
        `found`; if another run has changed that meanwhile, it is made anew, so that no bringer is lost."""
        name = receipt_key(key, record)
        for _ in range(_TIMES):
            raw = f'{make(found[0]).to_json()}\n'.encode()
            try:
                return self.bucket.put(self.key(name), raw, **unchanged(found[1]))
            except NoConditions:
                return self.bucket.put(self.key(name), raw)
            except Conflict:
                found = self._changed_receipt(key, name)
        raise ServiceError(f'{self}/{name} was changed {_TIMES} times meanwhile; try again when other runs have ended')

    def _changed_receipt(self, key: str, name: str) -> tuple[Receipt | None, str]:
        """Return a receipt and its ETag; None for one that cannot be read, or whose image was removed."""
        try:
            raw, version = self.bucket.document(self.key(name), _RECEIPT_CAP)
        except ImageNotFound:
            return None, ''
        try:
            record = self.record(key)
            return (None if record and not record.entry else self._adapted(name, raw)), version
        except ServiceError:
            raise
        except OccystrapError:
            return None, version

    def receipt(self, record: Record) -> Receipt:
        """Return the receipt for a record, adapted to where the layout is now, whatever server it names.

        Raises ImageNotFound, InvalidReceipt, InvalidImage, ServiceError.
        """
        return self.receipt_with_version(record)[0]

    def receipt_with_version(self, record: Record) -> tuple[Receipt, str]:
        """Return the same with its ETag."""
        key = receipt_key(record.key, record.raw)
        receipt, version = self._receipt_at(key)
        if Digest(record.entry['digest'] if record.entry else '') not in (receipt.manifest_digest, receipt.image_id):
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        return receipt, version

    def lost_receipts(self) -> list[str]:
        """Return the key of a receipt of each image whose record is gone, although it was not removed.

        Of several that an image had, one is enough, as none of them can be verified. Raises ServiceError.
        """
        keys = [key.removeprefix(self.place.base) for key in self.bucket.keys(self.key(RECEIPTS))]
        listed = {receipts_prefix(key) for key in self.names()}  # after the receipts, since records are written later
        return [*{prefix: key for key in keys if (prefix := prefix_of_receipt(key)) and prefix not in listed}.values()]

    def lost_receipt(self, key: str) -> Receipt:
        """Return one of them; raises as `receipt` does, also if it is of an image that has another key."""
        receipt, _ = self._receipt_at(key)
        if prefix_of_receipt(key) not in map(receipts_prefix, map(expected_key, receipt.of_kind('entry')[:1])):
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        return receipt

    def _receipt_at(self, key: str) -> tuple[Receipt, str]:
        """Return the receipt with a key, and its ETag; raises as `receipt` does."""
        raw, version = self.bucket.document(self.key(key), _RECEIPT_CAP)
        return self._adapted(key, raw), version

    def _adapted(self, key: str, raw: bytes) -> Receipt:
        """Return a receipt, adapted to where the layout is now; raises InvalidReceipt, InvalidImage."""
        receipt = Receipt.from_json(raw)
        if receipt.scheme != 's3':
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        elsewhere = {name: text for name, text in receipt.options.items() if name not in Connection._fields}
        return replace(receipt.at(self.place.path), options={**elsewhere, **self.bucket.connection.given})

    def kept_receipt(self, name: str) -> Receipt | None:
        """Return the receipt of the image with a name; None if there is no readable one. Raises ServiceError."""
        return self._kept(record_key(name, Digest.of(b''))) if name else None

    def _kept(self, key: str, digest: Digest | None = None) -> Receipt | None:
        """Return the receipt of the image that has a record with this key and, if given, this digest."""
        try:
            record = self.record(key)
            if not record or not record.entry or digest and record.entry['digest'] != digest:
                return None
            return self.receipt(record)
        except ServiceError:
            raise
        except OccystrapError:
            return None
