"""Writing images to a registry."""
from collections.abc import Iterator

from occystrap_core import (
    Expectation, Image, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Receipt, Settings, WrittenImage,
    WrittenLayer,
)
from occystrap_core.oci import Manifest
from occystrap_registry.address import parse_address
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import fetch_manifest
from occystrap_registry.uploads import Uploads, whole


class RegistryOutput(ImageOutput):
    """Pushes one image; what the registry has already is not sent, and the tag moves last."""

    wants = LayerForm.STORED

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self.compression = location.options.get('compression') or 'gzip'
        self._client = RegistryClient(self._address, settings)
        self._uploads = Uploads(self._client)

    def prepare(self, image: Image) -> None:
        """See whether the registry is there, and lets us push if it is one that asks who we are."""
        self._client.connect(self._address.push_scope)
        if self._client.authentication.was_challenged:
            self._uploads.check_access()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Ask for the blob by HEAD."""
        descriptor = layer.descriptor
        assert descriptor
        if not self._uploads.has(descriptor):
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
        if not self._is_there(manifest):
            self._push_manifest(manifest)
        self._client.close()
        documents = [Expectation('manifest', self._name, manifest.digest, len(manifest.raw)),
                     Expectation('config', manifest.config.digest, manifest.config.digest, manifest.config.size)]
        return image.receipt(self.location, documents, reference=self._address.reference)

    def abort(self) -> None:
        """Close the connections: unfinished uploads are the registry's to forget, and no tag has moved."""
        self._client.close()

    @property
    def _name(self) -> str:
        """The tag, or the digest, under which the manifest is put."""
        return self._address.reference.tag or str(self._address.reference.digest)

    def _require_digest(self, manifest: Manifest) -> None:
        wanted = self._address.reference.digest
        if wanted not in (None, manifest.digest):
            raise OutputError(f'{self._address.reference} cannot be written: the manifest has digest {manifest.digest}')

    def _is_there(self, manifest: Manifest) -> bool:
        reply = fetch_manifest(self._client, self._name, self._address.push_scope)
        return reply.status == 200 and reply.body == manifest.raw

    def _push_manifest(self, manifest: Manifest) -> None:
        headers = {'Content-Type': manifest.media_type, 'Content-Length': str(len(manifest.raw))}
        reply = self._client.fetch('PUT', self._address.manifest(self._name), self._address.push_scope, headers,
                                   whole(manifest.raw))
        if reply.status not in (200, 201, 202):
            raise self._client.failure(reply, f'{self._address.reference}: the registry refuses the manifest')
        told = reply.headers.get('docker-content-digest')
        if told not in (None, manifest.digest):
            raise OutputError(f'{self._address.host} stored the manifest as {told}, not {manifest.digest}')
