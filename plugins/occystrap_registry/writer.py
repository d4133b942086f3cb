"""Writing images to a registry."""
from collections.abc import Iterator

from occystrap_core import (
    Expectation, Image, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Receipt, Settings, WrittenImage,
    WrittenLayer,
)
from occystrap_core.oci import Digest, Manifest
from occystrap_registry.address import parse_address
from occystrap_registry.blobs import push_scope
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import ACCEPT, read_capped
from occystrap_registry.uploads import has_blob, push_blob, whole


class RegistryOutput(ImageOutput):
    """Pushes one image; what the registry has already is not sent, and the tag moves last."""

    wants = LayerForm.STORED

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self.compression = location.options['compression']
        self._client = RegistryClient(self._address, settings)

    def prepare(self, image: Image) -> None:
        """See whether the registry is there and lets us in."""
        self._client.connect(push_scope(self._address.repository))

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Ask for the blob by HEAD."""
        descriptor = layer.descriptor
        assert descriptor
        if not has_blob(self._client, descriptor):
            return None
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Push the blob as it streams."""
        descriptor = layer.descriptor
        assert descriptor

        def body() -> Iterator[memoryview]:
            with layer.open() as stream:
                yield from stream.chunks()

        push_blob(self._client, descriptor, body)
        return WrittenLayer(descriptor.digest)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Push the config, then the manifest under its tag unless that is there already."""
        manifest = image.manifest
        assert manifest
        if not has_blob(self._client, manifest.config):
            push_blob(self._client, manifest.config, whole(image.config.raw))
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

    def _push_manifest(self, manifest: Manifest) -> None:
        wanted = self._address.reference.digest
        if wanted not in (None, manifest.digest):
            raise OutputError(f'{self._address.reference} cannot be written: the manifest has digest {manifest.digest}')
        if self._is_there(manifest):
            return
        target, scope = f'/v2/{self._address.repository}/manifests/{self._name}', push_scope(self._address.repository)
        headers = {'Content-Type': manifest.media_type, 'Content-Length': str(len(manifest.raw))}
        with self._client.request('PUT', target, scope, headers, whole(manifest.raw)) as response:
            if response.status_code not in (200, 201, 202):
                self._client.fail(response, f'{self._address.host} refuses the manifest of {self._address.reference}')
            told = response.headers.get('docker-content-digest')
        if told not in (None, manifest.digest):
            raise OutputError(f'{self._address.host} stored the manifest as {told}, not {manifest.digest}')

    def _is_there(self, manifest: Manifest) -> bool:
        target, scope = f'/v2/{self._address.repository}/manifests/{self._name}', push_scope(self._address.repository)
        with self._client.request('GET', target, scope, {'Accept': ACCEPT}) as response:
            if response.status_code != 200:
                return False
            return Digest.of(read_capped(response.iter_raw(), 'the manifest there')) == manifest.digest
