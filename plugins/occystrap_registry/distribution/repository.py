"""A repository as a store of manifests and blobs."""
from occystrap_core import BlobStore, Image
from occystrap_core.oci import Descriptor, Index, Manifest, Reference
from occystrap_registry.distribution.blobs import BlobSource, blob_size, tar_size_hint
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import get_document, get_manifest
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.distribution.settle_time import NAMED


class RepositoryStore(BlobStore):
    """The manifests and blobs of one repository."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """GET a manifest by its digest."""
        return get_manifest(self._client, entry.digest, entry.media_type, NAMED)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """GET a small blob."""
        return get_document(self._client, descriptor, what)

    def blob(self, descriptor: Descriptor) -> BlobSource:
        """Return the blob, which is requested when it is first read."""
        return BlobSource(self._client, descriptor)

    def rest_of_blob(self, descriptor: Descriptor, offset: int) -> BlobSource:
        """Return the blob from `offset` on, for which a range is requested (RFC 9110, 14.2)."""
        return BlobSource(self._client, descriptor, offset)

    def blob_size(self, descriptor: Descriptor) -> int | None:
        """HEAD the blob."""
        return blob_size(self._client, descriptor)

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """GET its last bytes."""
        return tar_size_hint(self._client, descriptor)

    def image(self, reference: Reference, manifest: Manifest, raw: bytes | None = None) -> Image:
        """Return the image, and note that its blobs can be mounted from here."""
        address = self._client.address
        KnownBlobs.of(address.host, self._client.settings).add(
            address.reference.repository, (layer.digest for layer in manifest.layers if not layer.urls))
        return super().image(reference, manifest, raw)
