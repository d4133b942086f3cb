"""Reading images from a registry."""
from collections.abc import Iterable
from functools import partial

from occystrap_core import Image, ImageInput, InvalidImage, Location, Settings, StoredLayer
from occystrap_core.oci import Digest, ImageConfig, Index, Manifest, Platform, Reference, media_types
from occystrap_registry.address import parse_address
from occystrap_registry.blobs import BlobSource, tar_size_hint
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import get_document, get_manifest


class RegistryInput(ImageInput):
    """One image in a registry: `registry://host/repository[:tag][@digest]`."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self._client = RegistryClient(self._address, settings)
        wanted = location.options['platform']
        self._platform = Platform.parse(wanted) if wanted else settings.platform or Platform.of_host()

    def references(self) -> Iterable[Reference]:
        """Return the one image."""
        return [self._address.reference]

    def open(self, reference: Reference) -> Image:
        """Return the image, having read manifest and config; of an index, the image of the platform asked for."""
        manifest = self._manifest(reference.digest or reference.tag)
        if manifest.config.media_type not in (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG):
            raise InvalidImage(f'{reference} is no container image: its config is a {manifest.config.media_type}')
        config = ImageConfig.parse(get_document(self._client, manifest.config, f'the config of {reference}'))
        if len(config.diff_ids) != len(manifest.layers):
            raise InvalidImage(f'{reference} has {len(manifest.layers)} layers but {len(config.diff_ids)} diff_ids')
        layers = [StoredLayer(index, descriptor, diff_id, partial(BlobSource, self._client, descriptor),
                              partial(tar_size_hint, self._client, descriptor))
                  for index, (descriptor, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True))]
        return Image(reference, config, layers, manifest)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _manifest(self, wanted: str | Digest) -> Manifest:
        found = get_manifest(self._client, wanted)
        if isinstance(found, Index):
            found = get_manifest(self._client, found.select(self._platform).digest)
        if isinstance(found, Index):
            raise InvalidImage(f'{self._address.reference} is an index within an index, which is not supported')
        return found
