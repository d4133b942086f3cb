"""The blobs of a layout that is a source; what arrives is checked against its digest."""
from contextlib import closing

from occystrap_core import BlobStore, ImageNotFound, InvalidImage
from occystrap_core.files import DigestMismatch, Readable, SizeMismatch, inflated_size, set_error_rule
from occystrap_core.oci import (
    CONFIG_CAP, Descriptor, Digest, Index, Manifest, blob_name, parse_manifest_or_index,
)
from occystrap_s3.layout.bucket_layout import BucketLayout


class BucketStore(BlobStore):
    """The blobs in `blobs/sha256` and `blobs/sha512`."""

    def __init__(self, layout: BucketLayout) -> None:
        self._layout, self._bucket = layout, layout.bucket

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """Read a manifest; an empty media type in `entry` matches any."""
        with set_error_rule('manifest'):
            raw = self._read(entry.digest, 'manifest')
            try:
                return parse_manifest_or_index(raw, entry.media_type, entry.digest.algorithm)
            except InvalidImage as error:
                raise error.renamed(f'{self._layout}: manifest {entry.digest}: {error}') from None

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """Read a small blob."""
        raw = self._read(descriptor.digest, what)
        if len(raw) != descriptor.size:
            raise SizeMismatch(f'{self._layout}: {what}, blob {descriptor.digest}, has {len(raw)} bytes, expected '
                               f'{descriptor.size}')
        return raw

    def blob(self, descriptor: Descriptor) -> Readable:
        """Open a blob."""
        return self.rest_of_blob(descriptor, 0)

    def rest_of_blob(self, descriptor: Descriptor, offset: int) -> Readable:
        """Open a blob at an offset."""
        try:
            return self._bucket.open(self._key(descriptor.digest), offset)
        except ImageNotFound:
            raise self._missing(descriptor.digest, 'blob') from None

    def blob_size(self, descriptor: Descriptor) -> int:
        """Return the size of the object in bytes."""
        if found := self._bucket.look(self._key(descriptor.digest)):
            return found.size
        raise self._missing(descriptor.digest, 'blob')

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Return the size that the last four bytes of a gzip blob give."""
        if not descriptor.media_type.endswith('gzip') or descriptor.size < 18:
            return None
        with closing(self.rest_of_blob(descriptor, descriptor.size - 4)) as end:
            read = end.readinto(last := memoryview(bytearray(4)))
        return inflated_size(bytes(last), descriptor.size) if read == 4 else None

    def _read(self, digest: Digest, what: str) -> bytes:
        try:
            raw, _ = self._bucket.document(self._key(digest), CONFIG_CAP)
        except ImageNotFound:
            raise self._missing(digest, what) from None
        if (found := Digest.of(raw, digest.algorithm)) != digest:
            raise DigestMismatch(f'{self._layout}: {what} has digest {found}, expected {digest}')
        return raw

    def _key(self, digest: Digest) -> str:
        return self._layout.key(blob_name(digest))

    def _missing(self, digest: Digest, what: str) -> ImageNotFound:
        return ImageNotFound(f'{what} {digest} is not in {self._layout}', 'layer-missing' if what == 'blob' else '')
