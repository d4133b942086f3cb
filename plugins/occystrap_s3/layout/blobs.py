"""Writing blobs to a layout: each in one request with its sha256, or in parts; existing blobs are not written again."""
import threading
from collections.abc import Iterable

from occystrap_core import Evidence, Expectation, OutgoingLayer, VerifyLevel, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_core.oci import SHA256, Descriptor, Digest, Index, Manifest, blob_name
from occystrap_s3.bucket.bucket import StoredObject
from occystrap_s3.bucket.upload_in_parts import UploadInParts, part_size_for
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.stored_checksum import StoredChecksum, read_checksum, write_checksum


class Blobs:
    """The blobs of one destination."""

    def __init__(self, layout: BucketLayout, threshold: int) -> None:
        """Blobs of more than `threshold` bytes are sent in parts."""
        self._layout, self._bucket, self._threshold = layout, layout.bucket, threshold
        self._uploads: set[UploadInParts] = set()
        self._known: dict[Digest, StoredChecksum] = layout.bucket.settings.shared.get(
            (Blobs, layout.bucket.connection, layout.place.path), dict)
        """Blobs that this run has found or written."""
        self._lock = threading.Lock()

    def find(self, descriptor: Descriptor) -> WrittenLayer | None:
        """Return a blob if the server reports that it has exactly these bytes; else None."""
        digest = descriptor.digest
        if self.size(digest) != descriptor.size:
            return None
        return WrittenLayer(blob_name(digest), digest, descriptor.size, Evidence.DESCRIPTOR)

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob; None if it is missing or archived, or if the server does not report this
        digest."""
        if digest not in self._known:
            found = self._bucket.look(self._key(digest))
            if not found or found.is_archived or not (found.digest == digest or self._is_recorded(digest, found)):
                return None
            self._known[digest] = StoredChecksum(digest, found.size, found.checksum)
        return self._known[digest].size

    def write(self, layer: OutgoingLayer) -> WrittenLayer:
        """Send a blob as it streams, starting over after a failure; raises ServiceError, OutputError."""
        assert layer.descriptor
        digest, size = layer.descriptor.digest, layer.descriptor.size
        stored = StoredChecksum(digest, size, '')
        if digest.algorithm == SHA256 and size <= self._threshold:
            self._bucket.send(self._key(digest), layer.open, digest, size)
        else:
            stored = stored._replace(checksum=self._send_in_parts(layer))
            write_checksum(self._layout, stored)
        self._known[digest] = stored
        return WrittenLayer(blob_name(digest))

    def put(self, kind: str, raw: bytes, digest: Digest) -> Expectation:
        """Write a small blob, byte for byte, unless the server has it; return its expectation; raises ServiceError."""
        if digest not in self._known:
            self._bucket.put(self._key(digest), raw)
            self._known[digest] = StoredChecksum(digest, len(raw), '')
        return Expectation(kind, blob_name(digest), digest, len(raw))

    def put_manifest(self, document: Manifest | Index) -> Expectation:
        """Write a manifest or an index; return its expectation; raises ServiceError."""
        return self.put('index' if isinstance(document, Index) else 'manifest', document.raw, document.digest)

    def checksums(self, digests: Iterable[Digest]) -> list[Expectation]:
        """Return the expectations for the checksum records of those of these blobs that were sent in parts."""
        found = (self._known.get(digest) for digest in sorted(set(digests)))
        return [each.expectation for each in found if each and each.is_of_parts]

    def abort(self) -> None:
        """Make the server drop the parts of unfinished uploads; raises ServiceError."""
        with self._lock:
            uploads, self._uploads = self._uploads, set()
        for each in uploads:
            each.abort()

    def _send_in_parts(self, layer: OutgoingLayer) -> str:
        assert layer.descriptor
        upload = UploadInParts.begin(self._bucket, self._key(layer.descriptor.digest))
        with self._lock:
            self._uploads.add(upload)
        self._bucket.settings.cancellation.check()
        with layer.open() as stream:
            upload.send(stream, part_size_for(layer.descriptor.size, self._threshold))
        checksum = upload.complete()
        with self._lock:
            self._uploads.discard(upload)
        return checksum

    def _is_recorded(self, digest: Digest, found: StoredObject) -> bool:
        """Return whether the server has a blob that was sent in parts, according to its record; with full verification
        it is read, since blob and record may both have been replaced."""
        stored = StoredChecksum(digest, found.size, found.checksum)
        if not stored.is_of_parts or read_checksum(self._layout, digest) != stored:
            return False
        if self._bucket.settings.verify is not VerifyLevel.FULL:
            return True
        with ByteStream(self._bucket.open(self._key(digest)), algorithm=digest.algorithm) as stream:
            return stream.drain() == digest

    def _key(self, digest: Digest) -> str:
        return self._layout.key(blob_name(digest))
