"""Comparing a bucket with a receipt: documents are read; for blobs the server reports the sha256 of what it received.
"""
from collections.abc import Callable

from occystrap_core import (
    READ, REPORTED, CheckResults, Expectation, ImageNotFound, InvalidImage, Location, OccystrapError, Receipt,
    ServiceError, Settings, VerifyLevel,
)
from occystrap_core.files import ByteStream
from occystrap_core.oci import (
    INDEX_FILE, MANIFEST_CAP, Digest, IndexFile, blob_name, find_named, find_referrer, is_referrer_tag,
)
from occystrap_s3.bucket.bucket import NoBucket, StoredObject
from occystrap_s3.bucket.failures import ARCHIVED
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.bucket_store import BucketStore
from occystrap_s3.layout.image_list import ImageList
from occystrap_s3.layout.keys import CHECKSUMS, expected_key
from occystrap_s3.layout.place import Place
from occystrap_s3.layout.stored_checksum import StoredChecksum
from occystrap_s3.options import CONNECTION


def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
    """Report what the bucket has of what the receipt expects.

    FAST reads records, manifests, indexes and configs, and asks for size and sha256 of layers; FULL reads every blob.
    """
    results = CheckResults()
    try:
        check = BucketCheck(receipt, level, settings)
    except OccystrapError as error:
        results.unverified(receipt.destination, str(error))
        return results
    try:
        check.layout.require()
    except NoBucket as error:
        for expectation in receipt.expectations:
            results.missing(expectation, str(error))
        return results
    except ServiceError as error:
        results.unverified(receipt.destination, str(error))
        return results
    for found in settings.in_parallel(check.one, receipt.expectations, helping=level is VerifyLevel.FAST):
        results.extend(found)
    return results


class BucketCheck:
    """Checks the expectations of one receipt, one by one."""

    def __init__(self, receipt: Receipt, level: VerifyLevel, settings: Settings) -> None:
        location = Location('s3', receipt.path, {each.name: receipt.options.get(each.name) for each in CONNECTION}, {})
        self.layout = BucketLayout.at(location, settings.settled(), Place.of_receipt(receipt))
        self._receipt, self._level, self._settings = receipt, level, settings
        self._bucket, self._store = self.layout.bucket, BucketStore(self.layout)
        self._checksums = receipt.of_kind('checksum')

    @property
    def _by_kind(self) -> dict[str, Callable[[Expectation, CheckResults], None]]:
        return {
            'entry': self._entry, 'tag': self._tag, 'referrer': self._referrer, 'checksum': self._document,
            'manifest': self._document, 'index': self._document, 'config': self._document, 'layer': self._layer}

    def one(self, expectation: Expectation) -> CheckResults:
        """Return what was found for one expectation."""
        results = CheckResults()
        try:
            self._by_kind.get(expectation.kind, _unknown)(expectation, results)
        except ImageNotFound as error:
            results.missing(expectation, str(error))
        except InvalidImage as error:
            results.differs(expectation, str(error))
        except OccystrapError as error:
            results.unreachable(expectation, str(error))
        return results

    def _entry(self, expected: Expectation, results: CheckResults) -> None:
        """Find the expected entry in the record of the image, which also has those of its referrers."""
        record = self.layout.record(key := expected_key(self._receipt.of_kind('entry')[0]))
        if record is None:
            raise ImageNotFound(f'the record of the image, {key}, is not there')
        found, problem = record.listed.find(expected.locator, expected.digest)
        results.looked_up(expected, found, problem.replace(INDEX_FILE, 'the record of the image'))

    def _tag(self, expected: Expectation, results: CheckResults) -> None:
        """Find the manifest of a name, for an image that another program may have written."""
        exact = 'tag' in self._receipt.options or is_referrer_tag(expected.locator)
        record = self.layout.record_of(expected.locator)
        index = record.listed if record else self._listed
        results.listed(expected, *find_named(index, self._store.manifest, expected.locator, expected.digest, exact,
                                             '' if exact else self._receipt.source_name))

    def _referrer(self, expected: Expectation, results: CheckResults) -> None:
        results.listed(expected, *find_referrer(self._store.manifest, self._listed.manifests, expected.digest))

    @property
    def _listed(self) -> IndexFile:
        """All entries of the layout."""
        return IndexFile.listing(ImageList.of(self.layout).entries)

    def _document(self, expected: Expectation, results: CheckResults) -> None:
        raw, _ = self._bucket.document(self._key(expected), max(MANIFEST_CAP, expected.size))
        results.read(expected, raw)

    def _layer(self, expected: Expectation, results: CheckResults) -> None:
        """Read the blob, or get its size and the sha256 of what the server received."""
        if self._level is VerifyLevel.FULL or expected.has_unknown_size:
            self._blob(expected, results)
        elif not (found := self._bucket.look(self._key(expected))):
            results.missing(expected)
        elif found.is_archived:
            results.unreachable(expected, f'{ARCHIVED}, or copy the image again')
        elif digest := found.digest or self._digest_of_parts(expected, found):
            results.found(expected, size=found.size, digest=digest, evidence=REPORTED)
        elif found.size != expected.size:
            results.found(expected, size=found.size, evidence=REPORTED)
        else:
            results.unreachable(expected, 'the server has no sha256 of this object, which another program may have '
                                          'stored; --verify=full reads it, and the next copy replaces it')

    def _blob(self, expected: Expectation, results: CheckResults) -> None:
        with ByteStream(self._bucket.open(self._key(expected)), what='the blob',
                        algorithm=expected.digest.algorithm) as stream:
            digest = stream.drain()
            results.found(expected, size=stream.size, digest=digest, evidence=READ)

    def _digest_of_parts(self, expected: Expectation, found: StoredObject) -> Digest | None:
        """Return the digest of a blob that was sent in parts, if the server still has the same parts.

        Only the receipt says which parts those are, since whoever replaces a blob can also replace its record.
        """
        stored = StoredChecksum(expected.digest, found.size, found.checksum)
        return expected.digest if stored.is_of_parts and stored.expectation in self._checksums else None

    def _key(self, expected: Expectation) -> str:
        """Return the key of a blob, or of its checksum record; raises InvalidImage if the receipt locates it elsewhere.
        """
        if expected.kind == 'checksum' and expected.locator.startswith(CHECKSUMS):
            return self.layout.key(expected.locator)
        if expected.locator != blob_name(expected.digest):
            raise InvalidImage(f'its locator must be {blob_name(expected.digest)}')
        return self.layout.key(expected.locator)


def _unknown(expected: Expectation, results: CheckResults) -> None:
    results.unreachable(expected, 'this version cannot check it')
