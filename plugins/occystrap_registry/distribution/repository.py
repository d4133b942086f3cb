"""A repository as a store of manifests and blobs."""
from collections.abc import Iterator

from occystrap_core import AccessDenied, BlobStore, Image, ImageNotFound, Settings
from occystrap_core.files import ByteStream
from occystrap_core.oci import SHA256, Descriptor, Digest, Index, Manifest, Reference
from occystrap_registry.distribution.blobs import BlobSource, blob_size, tar_size_hint
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import get_document, get_manifest, parsed_manifest
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.distribution.settle_time import NAMED
from occystrap_registry.transport.address import Address
from occystrap_registry.transport.connections import Body


class RepositoryStore(BlobStore):
    """The manifests and blobs of one repository.

    `documents` is that of Settings, for an input: documents in it are not requested, requested ones are added.
    """

    def __init__(self, client: RegistryClient, documents: dict[str, tuple[bytes, str]] | None = None) -> None:
        self._client, self._documents = client, documents

    def named(self, tag_or_digest: str | Digest) -> Manifest | Index:
        """GET what a tag or digest means; raises as `manifest` does."""
        return self._manifest(tag_or_digest)

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """GET a manifest by its digest."""
        return self._manifest(entry.digest, entry.media_type, NAMED)

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """GET a small blob."""
        name = self._client.address.name_of(descriptor.digest)
        if known := (self._documents or {}).get(name):
            return descriptor.checked(known[0], what)
        raw = get_document(self._client, descriptor, what)
        self._note(name, raw, '')
        return raw

    def _manifest(self, tag_or_digest: str | Digest, listed_as: str = '', most: float = 0) -> Manifest | Index:
        name = self._client.address.name_of(tag_or_digest)
        if known := (self._documents or {}).get(name):
            algorithm = tag_or_digest.algorithm if isinstance(tag_or_digest, Digest) else SHA256
            return parsed_manifest(*known, listed_as, algorithm, name)
        found = get_manifest(self._client, tag_or_digest, listed_as, most)
        self._note(name, found.raw, found.served_as or '')
        return found

    def _note(self, name: str, raw: bytes, served_as: str) -> None:
        if self._documents is not None:
            self._documents[name] = raw, served_as

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


def stored_elsewhere(there: Address, descriptor: Descriptor, settings: Settings) -> Body | None:
    """Return a blob of a repository, to be sent to another one; None if it is not there, or may not be read.

    Raises ServiceError.
    """
    client = RegistryClient(there, settings)
    try:
        client.connect_once(there.pull_scope)
        if blob_size(client, descriptor) not in (None, descriptor.size):
            return None
    except (AccessDenied, ImageNotFound):
        return None

    def body() -> Iterator[memoryview]:
        with ByteStream(BlobSource(client, descriptor), digest=descriptor.digest, size=descriptor.size,
                        what=f'blob {descriptor.digest} of {there.reference.name}') as stream:
            yield from stream.chunks()
    return body
