"""What a registry has under the name of a destination: its digest, and a receipt made of its documents."""
from contextlib import suppress

from occystrap_core import IndexReader, InvalidImage, Location, Receipt, ServiceError, WrittenImage
from occystrap_core.files import ImageError
from occystrap_core.oci import (
    SHA256, Descriptor, Digest, ImageConfig, Index, Manifest, PlatformChoice, parse_manifest_or_index,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import get_document
from occystrap_registry.distribution.fresh_documents import FreshDocument, FreshDocuments
from occystrap_registry.distribution.repository import RepositoryStore
from occystrap_registry.transport.answers import Reply


def digest_in(reply: Reply, name: str) -> Digest | None:
    """Return the digest of the manifest in an answer, by the algorithm of `name` if that is a digest; None without a
    manifest."""
    if reply.status != 200 or reply.cut:
        return None
    return Digest.of(reply.body, Digest(name).algorithm if ':' in name else SHA256)


def diff_ids_of(client: RegistryClient, document: Manifest | Index | None) -> frozenset[Digest]:
    """Return the diff_ids of an image at the destination, from its config; none for an index, an artifact, or an
    unreadable one."""
    if not isinstance(document, Manifest):
        return frozenset()
    with suppress(ImageError, ServiceError):
        return frozenset(ImageConfig.parse(get_document(client, document.config, 'the config')).diff_ids)
    return frozenset()


class PresentImage:
    """Reads an image at the destination and makes its receipt; documents it reads are kept for verification."""

    def __init__(self, client: RegistryClient, location: Location, source: str, name: str) -> None:
        """`source` is for the receipt; `name` is the tag or the digest of the image."""
        self._client, self._location, self._source, self._name = client, location, source, name
        self._reference, self._place = client.address.reference, str(client.address.place)
        self._fresh = FreshDocuments.of(client.address.host, client.settings)

    def receipt(self, tagged: Reply) -> Receipt:
        """Return the receipt; `tagged` is the registry's answer to the request of the name.

        Raises InvalidImage, ImageNotFound, ServiceError.
        """
        served_as, digest = tagged.headers.get('content-type', ''), digest_in(tagged, self._name)
        if digest is None:
            raise InvalidImage(f'{self._reference}: no manifest')
        document = parse_manifest_or_index(tagged.body, served_as, digest.algorithm)
        reader = IndexReader(_ReadingStore(self._client, self._fresh), self._reference, self._client.settings)
        with reader.select(document, PlatformChoice()) as opened:
            receipt = WrittenImage.present_receipt(opened, self._source, self._location, self._place, self._reference,
                                                   self._name)
        self._fresh.keep(self._reference.repository, self._name, FreshDocument(tagged.body, served_as))
        return receipt


class _ReadingStore(RepositoryStore):
    """A repository that keeps the documents it reads for the verifier."""

    def __init__(self, client: RegistryClient, fresh: FreshDocuments) -> None:
        super().__init__(client)
        self._fresh, self._repository = fresh, client.address.reference.repository

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        found = super().manifest(entry)
        self._fresh.keep(self._repository, str(found.digest), FreshDocument(found.raw, found.served_as or ''))
        return found

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        raw = super().document(descriptor, what)
        self._fresh.keep(self._repository, str(descriptor.digest), FreshDocument(raw))
        return raw
