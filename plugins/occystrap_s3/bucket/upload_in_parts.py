"""Sending a blob in parts: each is kept in a temporary file until the server has it, so that it can be sent again."""
import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from occystrap_core.files import ByteStream, TemporaryFile
from occystrap_core.oci import Digest
from occystrap_s3.bucket.bucket import Bucket, checksum_of

PART = 64 << 20
LEAST, MOST = 5 << 20, 10_000
"""The minimum size of each part except the last, in bytes, and the maximum number of parts, as S3 defines them."""


class _Part:
    """A part in a temporary file."""

    def __init__(self, directory: str) -> None:
        self._file, self._computed, self.size = TemporaryFile(directory), hashlib.sha256(), 0

    def write(self, piece: memoryview) -> None:
        """Append a piece; raises OutputError."""
        self._file.write(piece)
        self._computed.update(piece)
        self.size += len(piece)

    @property
    def digest(self) -> Digest:
        """The sha256 of all that was written."""
        return Digest.of_hash(self._computed)

    def open(self) -> ByteStream:
        """Open the part at its first byte."""
        return ByteStream(self._file.reopened(), digest=self.digest, size=self.size)

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


class UploadInParts:
    """One upload in parts; nothing is visible before `complete`, and nothing left after `abort`."""

    def __init__(self, bucket: Bucket, key: str, identity: str) -> None:
        self._bucket, self._key, self._identity = bucket, key, identity
        self._parts: list[dict[str, Any]] = []
        self._digests: list[Digest] = []

    @classmethod
    def begin(cls, bucket: Bucket, key: str) -> 'UploadInParts':
        """Begin an upload; raises ServiceError."""
        answer = bucket.ask('create_multipart_upload', key, ChecksumAlgorithm='SHA256', ChecksumType='COMPOSITE')
        return cls(bucket, key, answer['UploadId'])

    def send(self, stream: ByteStream, part_size: int) -> None:
        """Send all bytes of a stream, part by part; raises what the stream raises, OutputError, ServiceError."""
        for part in _parts(stream, part_size, self._bucket.settings.temporary):
            self._send(part)

    def complete(self) -> str:
        """Make the object visible, and return the checksum that the server stores for it; raises ServiceError."""
        checksum = f'{checksum_of(Digest.of(b"".join(map(_raw, self._digests))))}-{len(self._parts)}'
        self._bucket.ask('complete_multipart_upload', self._key, UploadId=self._identity,
                         MultipartUpload={'Parts': self._parts}, ChecksumSHA256=checksum, ChecksumType='COMPOSITE')
        return checksum

    def abort(self) -> None:
        """Make the server drop all parts; raises ServiceError."""
        self._bucket.for_cleanup().ask('abort_multipart_upload', self._key, UploadId=self._identity)

    def _send(self, part: _Part) -> None:
        number, digest = len(self._parts) + 1, part.digest
        answer = self._bucket.send(self._key, part.open, digest, part.size, UploadId=self._identity, PartNumber=number)
        self._digests.append(digest)
        self._parts.append({'PartNumber': number, 'ETag': answer['ETag'], 'ChecksumSHA256': checksum_of(digest)})


def part_size_for(size: int, threshold: int) -> int:
    """Return the size of the parts of a blob, in bytes; it is only small for a low threshold."""
    return max(min(PART, max(LEAST, threshold)), -(-size // MOST))


def _parts(stream: ByteStream, part_size: int, directory: str) -> Iterator[_Part]:
    """Yield the parts of a stream, at least one; the file of a part is deleted when the next is requested."""
    pieces, is_first = _cut(stream, part_size), True
    while True:
        with closing(_Part(directory)) as part:
            for piece, is_end in pieces:
                part.write(piece)
                if is_end:
                    break
            if not part.size and not is_first:
                return
            yield part
            is_first = False


def _cut(stream: ByteStream, part_size: int) -> Iterator[tuple[memoryview, bool]]:
    """Yield the pieces of a stream, cut at the ends of parts, each with whether a part ends there."""
    left = part_size
    for chunk in stream.chunks():
        while chunk:
            piece, chunk = chunk[:left], chunk[left:]
            left = left - len(piece) or part_size
            yield piece, left == part_size


def _raw(digest: Digest) -> bytes:
    return bytes.fromhex(digest.hex)
