"""Checksum records, for blobs that were sent in parts, of which the server has not computed the sha256.

A record is an object of its own; receipts expect it, so that replacing both blob and record is detected.
"""
from typing import NamedTuple

from occystrap_core import Expectation, ImageNotFound, InvalidImage
from occystrap_core.oci import Digest, dump_json, parse_object, required_field
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.keys import checksum_key


class StoredChecksum(NamedTuple):
    """The digest and size of a blob, and the checksum of its parts as the server reports it: base64, `-`, and their
    number."""

    digest: Digest
    size: int
    checksum: str

    @property
    def is_of_parts(self) -> bool:
        """Whether the server computed the checksum from parts, so that it is not the sha256 of the blob."""
        return '-' in self.checksum

    def to_json(self) -> bytes:
        """Return the content of the record."""
        return dump_json({'digest': self.digest, 'size': self.size, 'checksumSHA256': self.checksum})

    @property
    def expectation(self) -> Expectation:
        """What a receipt expects of the record."""
        raw = self.to_json()
        return Expectation('checksum', checksum_key(self.digest), Digest.of(raw), len(raw))


def write_checksum(layout: BucketLayout, stored: StoredChecksum) -> None:
    """Write the record of a blob; raises ServiceError."""
    layout.bucket.put(layout.key(checksum_key(stored.digest)), stored.to_json())


def read_checksum(layout: BucketLayout, digest: Digest) -> StoredChecksum | None:
    """Return the record of a blob; None if there is none that can be read. Raises ServiceError."""
    key = layout.key(checksum_key(digest))
    try:
        raw, _ = layout.bucket.document(key)
        found = parse_object(raw, f'{layout}/{checksum_key(digest)}')
        return StoredChecksum(Digest(required_field(found, 'digest', str, key)),
                              required_field(found, 'size', int, key),
                              required_field(found, 'checksumSHA256', str, key))
    except (ImageNotFound, InvalidImage):
        return None
