"""Writing images to a registry."""
from collections.abc import Iterator, Sequence

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Place, Receipt,
    Settings, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.oci import Digest, Index, Manifest, Reference
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.manifests import attach_referrers, now_there, put_manifest, understood
from occystrap_registry.distribution.uploads import Uploads, whole
from occystrap_registry.transport.address import parse_address
from occystrap_registry.transport.answers import Reply


class RegistryOutput(ImageOutput):
    """Pushes one image, or an index of several; what the registry has already is not sent, and the tag moves last."""

    layer_form = LayerForm.STORED
    holds_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self.compression = location.options.get('compression') or 'gzip'
        self._client = RegistryClient(self._address, settings)
        self._uploads = Uploads(self._client)
        self._tagged: Reply | None = None
        """What the registry answered when it was asked for the tag, before anything was read."""
        self.layer_store = 'registry', self._address.host

    def place(self, reference: Reference) -> Place:
        """Return the tag that is pushed to, by the canonical name of its host."""
        return self._address.place

    def prepare(self, image: Image) -> None:
        """See whether the registry is there, lets us push if it asks who we are, and has an index under the tag."""
        self._look()
        self._look_at_tag()

    def prepare_index(self, index: ImageIndex) -> None:
        """See the same."""
        self._look()

    def child(self) -> ImageOutput:
        """Return a writer for a part of an index."""
        return _Part(self)

    def blob_size(self, digest: Digest) -> int | None:
        """Ask for the blob by HEAD."""
        return self._uploads.size(digest)

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Ask for the blob by HEAD."""
        descriptor = layer.descriptor
        assert descriptor
        if not self._uploads.has(descriptor):
            return None
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Have the blob mounted from a repository of the same registry that is known to have it."""
        descriptor = layer.descriptor
        assert descriptor
        if not self._uploads.mount(descriptor):
            return None
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Push the blob as it streams."""
        descriptor = layer.descriptor
        assert descriptor

        def body() -> Iterator[memoryview]:
            with layer.open() as stream:
                yield from stream.chunks()

        if self._uploads.put(descriptor, body):
            return WrittenLayer(descriptor.digest)
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Push the config, then the manifest under its tag unless that is there already."""
        manifest = image.manifest
        assert manifest
        self._require_digest(manifest)
        if not self._uploads.has(manifest.config):
            self._uploads.put(manifest.config, whole(image.config.raw))
        differs = self._tagged is not None and self._tagged.body != manifest.raw
        documents = [put_manifest(self._client, self._name(manifest), manifest, differs),
                     Expectation('config', manifest.config.digest, manifest.config.digest, manifest.config.size)]
        self._let_go()
        return image.receipt(self.location, documents, reference=self._address.reference)

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Push tags and lists of referrers."""
        return attach_referrers(self._client, referrers)

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Push the index under its tag, everything that it lists being there."""
        self._require_digest(index.index)
        document = put_manifest(self._client, self._name(index.index), index.index)
        self._let_go()
        return index.receipt(self.location, [document], reference=self._address.reference)

    def abort(self) -> None:
        """Close the connections: unfinished uploads are the registry's to forget, and no tag has moved."""
        self._let_go()

    def _look(self) -> None:
        self._client.connect_once(self._address.push_scope)
        if self._client.authentication.was_challenged:
            self._uploads.check_access()

    def _look_at_tag(self) -> None:
        if tag := self._address.reference.tag:
            self._tagged = now_there(self._client, tag)
            self.require_no_index(understood(self._tagged), str(self._address.reference))

    def _let_go(self) -> None:
        self._client.close()

    def _name(self, document: Manifest | Index) -> str:
        """Return the tag, or the digest, under which a manifest is put."""
        return self._address.reference.tag or str(document.digest)

    def _require_digest(self, document: Manifest | Index) -> None:
        wanted = self._address.reference.digest
        if wanted not in (None, document.digest):
            raise OutputError(f'{self._address.reference} cannot be written: the manifest has digest {document.digest}')


class _Part(RegistryOutput):
    """Pushes a part of an index, or what hangs on an image, under its digest; the connections are the whole's."""

    def __init__(self, whole: RegistryOutput) -> None:
        self.__dict__.update(whole.__dict__)
        self._tagged = None

    def _look(self) -> None:
        """Nothing: the whole has looked."""

    def _look_at_tag(self) -> None:
        """Nothing: a part has none."""

    def _let_go(self) -> None:
        """Nothing: the whole will."""

    def _name(self, document: Manifest | Index) -> str:
        return str(document.digest)

    def _require_digest(self, document: Manifest | Index) -> None:
        """Any digest will do."""
