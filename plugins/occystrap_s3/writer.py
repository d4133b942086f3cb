"""Writing s3://: an image layout in a bucket, manifests and blobs byte for byte as stored, one image after another."""
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageNotFound, ImageOutput, InvalidImage, LayerForm, Location, OutgoingLayer, Place,
    Receipt, Settings, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.oci import Digest, Entry, Index, Manifest, Reference, named_entry, referrer_of
from occystrap_s3.bucket.connection import endpoint_of_environment
from occystrap_s3.layout.blobs import Blobs
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.bucket_store import BucketStore
from occystrap_s3.layout.keys import record_key
from occystrap_s3.layout.place import with_name_as_option


class BucketOutput(ImageOutput):
    """Writes one image, or an index of several; blobs that the server has are not sent, the image's record comes last.
    """

    layer_form = LayerForm.STORED
    holds_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(_pinned(with_name_as_option(location)), settings)
        self._layout = BucketLayout.at(self.location, settings)
        self.compression = self.location.options['compression'] or 'gzip'
        self.layer_store = 's3', self._layout.bucket.connection, self._layout.place.path
        self._referrers: list[Entry] = []

    @cached_property
    def blobs(self) -> Blobs:
        """The blobs of the layout, shared with parts of an index."""
        return Blobs(self._layout, self.location.options['multipart'])

    def place(self, reference: Reference) -> Place:
        """Return the layout, with the image's name; an image without a name replaces no other."""
        return self._layout.place_of(self._name(reference))

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt of the image with this name; one without a name is known by its digest alone."""
        return self._layout.kept_receipt(self._name(reference))

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise ServiceError unless the bucket answers; raise OutputError if a single image would replace an index."""
        self._layout.require()
        if isinstance(content, Image):
            self._require_no_index(self._name(content.reference))

    def prepare(self, image: Image) -> None:
        """Check that the bucket answers, and has no index of this name."""
        self.require_possible(image)

    def prepare_index(self, index: ImageIndex) -> None:
        """Check that the bucket answers."""
        self.require_possible(index)

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return a blob if the server reports exactly this sha256."""
        assert layer.descriptor
        return self.blobs.find(layer.descriptor)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob of which the server reports this sha256."""
        return self.blobs.size(digest)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Send a blob; raises ServiceError."""
        return self.blobs.write(layer)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, then the receipt, then the record."""
        documents = [*self.put_documents(image), *sorted(self.parts, key=str)]
        assert image.manifest
        entries = self._entries(image.manifest, image.reference)
        receipt = image.receipt(self.location, self._expected(entries, documents))
        self._publish(entries, image.reference, receipt)
        return receipt

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        """Write config and manifest of an image, and the records of layers sent in parts, or an index."""
        if isinstance(part, WrittenIndex):
            return [self.blobs.put_manifest(part.index)]
        assert part.manifest
        layers = [layer.descriptor.digest for layer in part.layers if layer.descriptor]
        return [self.blobs.put('config', part.config.raw, part.config.digest),
                self.blobs.put_manifest(part.manifest), *self.blobs.checksums(layers)]

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Remember the entries of referrers, without a name, for the record; return their expectations."""
        self._referrers = [named_entry(
            referrer_of(each.document) if each.subject else each.document.descriptor, each.tag) for each in referrers]
        return [Expectation.of_entry(entry) for entry in self._referrers]

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index, after all that it lists, then the receipt, then the record."""
        entries = self._entries(index.index, index.reference)
        receipt = index.receipt(self.location, self._expected(entries[:1], self.put_documents(index)))
        self._publish(entries, index.reference, receipt)
        return receipt

    def abort(self) -> None:
        """Make the server drop unfinished uploads; nothing has become visible, and complete blobs are left for the next
        run."""
        self.blobs.abort()

    def _require_no_index(self, name: str) -> None:
        with suppress(InvalidImage, ImageNotFound):  # a damaged one may be replaced
            record = self._layout.record_of(name) if name else None
            if record and record.descriptor:
                self.require_no_index(BucketStore(self._layout).manifest(record.descriptor), f'{self._layout}, {name}')

    def _entries(self, document: Manifest | Index, reference: Reference) -> list[Entry]:
        return [named_entry(document.descriptor, self._name(reference)), *self._referrers]

    def _expected(self, entries: Sequence[Entry], documents: Sequence[Expectation]) -> list[Expectation]:
        return [*map(Expectation.of_entry, entries), *documents]

    def _publish(self, entries: Sequence[Entry], reference: Reference, receipt: Receipt) -> None:
        key = record_key(self._name(reference), Digest(entries[0]['digest']))
        self._layout.put_record(key, entries, receipt)

    def _name(self, reference: Reference) -> str:
        return self.location.options['tag'] or reference.familiar


def _pinned(location: Location) -> Location:
    """Return the location with the address from the environment, so that the receipt leads to the same server."""
    endpoint = location.options['endpoint'] or endpoint_of_environment()
    return location.with_options(endpoint=endpoint) if endpoint else location
