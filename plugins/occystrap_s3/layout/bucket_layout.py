"""A layout in a bucket: the records of its images, each an index of its own, and their receipts."""
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from occystrap_core import (
    ImageNotFound, InvalidImage, Location, OccystrapError, Place as PlaceOfImage, Receipt, ServiceError, Settings,
)
from occystrap_core.oci import MANIFEST_CAP, Descriptor, Digest, Entry, IndexFile
from occystrap_s3.bucket.bucket import Bucket
from occystrap_s3.bucket.connection import Connection
from occystrap_s3.layout.keys import (
    RECEIPTS, RECORDS, expected_key, is_record, key_of, prefix_of_receipt, receipt_key, receipts_prefix, record_key,
)
from occystrap_s3.layout.place import Place

_RECEIPT_CAP = 16 * MANIFEST_CAP


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

        Raises ServiceError.
        """
        raw = IndexFile.listing(entries).to_json()
        self.put_receipt(key, raw, receipt)
        self.bucket.put(self.key(key), raw)

    def put_receipt(self, key: str, record: bytes, receipt: Receipt) -> None:
        """Write the receipt for a record with this key; raises ServiceError."""
        self.bucket.put(self.key(receipt_key(key, record)), f'{receipt.to_json()}\n'.encode())

    def receipt(self, record: Record) -> Receipt:
        """Return the receipt for a record, adapted to where the layout is now, whatever server it names.

        Raises ImageNotFound, InvalidReceipt, InvalidImage, ServiceError.
        """
        key = receipt_key(record.key, record.raw)
        receipt = self._receipt_at(key)
        if Digest(record.entry['digest'] if record.entry else '') not in (receipt.manifest_digest, receipt.image_id):
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        return receipt

    def lost_receipts(self) -> list[str]:
        """Return the key of a receipt of each image whose record is gone, although it was not removed.

        Of several that an image had, one is enough, as none of them can be verified. Raises ServiceError.
        """
        keys = [key.removeprefix(self.place.base) for key in self.bucket.keys(self.key(RECEIPTS))]
        listed = {receipts_prefix(key) for key in self.names()}  # after the receipts, since records are written later
        return [*{prefix: key for key in keys if (prefix := prefix_of_receipt(key)) and prefix not in listed}.values()]

    def lost_receipt(self, key: str) -> Receipt:
        """Return one of them; raises as `receipt` does, also if it is of an image that has another key."""
        receipt = self._receipt_at(key)
        if prefix_of_receipt(key) not in map(receipts_prefix, map(expected_key, receipt.of_kind('entry')[:1])):
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        return receipt

    def _receipt_at(self, key: str) -> Receipt:
        """Return the receipt with a key, adapted to where the layout is now; raises as `receipt` does."""
        raw, _ = self.bucket.document(self.key(key), _RECEIPT_CAP)
        receipt = Receipt.from_json(raw)
        if receipt.scheme != 's3':
            raise InvalidImage(f'{self}/{key} is the receipt of another image')
        elsewhere = {name: text for name, text in receipt.options.items() if name not in Connection._fields}
        return replace(receipt.at(self.place.path), options={**elsewhere, **self.bucket.connection.given})

    def kept_receipt(self, name: str) -> Receipt | None:
        """Return the receipt of the image with a name; None if there is no readable one. Raises ServiceError."""
        try:
            record = self.record_of(name) if name else None
            return self.receipt(record) if record else None
        except ServiceError:
            raise
        except OccystrapError:
            return None
