"""The blobs of a layout that is a source; what arrives is checked against its digest."""
from contextlib import closing

from occystrap_core import BlobStore, ImageNotFound
from occystrap_core.files import GZIP_END, Readable, inflated_size
from occystrap_core.oci import CONFIG_CAP, Descriptor, Digest, blob_name
from occystrap_s3.layout.bucket_layout import BucketLayout


class BucketStore(BlobStore):
    """The blobs in `blobs/sha256` and `blobs/sha512`."""

    def __init__(self, layout: BucketLayout) -> None:
        self._layout, self._bucket = layout, layout.bucket
        self.place = str(layout)

    def small_blob(self, digest: Digest, what: str) -> bytes:
        """Download a document."""
        try:
            raw, _ = self._bucket.document(self._key(digest), CONFIG_CAP)
        except ImageNotFound:
            raise self._missing(digest, what) from None
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
        """Return the size that the last bytes of a gzip blob give."""
        if not descriptor.media_type.endswith('gzip') or descriptor.size < 18:
            return None
        count = min(GZIP_END, descriptor.size)
        with closing(self.rest_of_blob(descriptor, descriptor.size - count)) as end:
            read = end.readinto(last := memoryview(bytearray(count)))
        return inflated_size(bytes(last), descriptor.size) if read == count else None

    def _key(self, digest: Digest) -> str:
        return self._layout.key(blob_name(digest))

    def _missing(self, digest: Digest, what: str) -> ImageNotFound:
        return ImageNotFound(f'{what} {digest} is not in {self._layout}', 'layer-missing' if what == 'blob' else '')
