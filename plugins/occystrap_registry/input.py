"""Reading images from a registry."""
from collections.abc import Iterable
from functools import cache, partial

from occystrap_core import (
    DigestMismatch, Image, ImageInput, ImageNotFound, InvalidImage, Location, Settings, StoredLayer,
)
from occystrap_core.oci import Digest, ImageConfig, Index, Manifest, Platform, Reference, media_types
from occystrap_registry.address import parse_address
from occystrap_registry.blobs import BlobSource, tar_size_hint
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import get_document, get_manifest

_CONFIGS = (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG)


class RegistryInput(ImageInput):
    """One image in a registry: `registry://host/repository[:tag][@digest]`."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self._client = RegistryClient(self._address, settings)
        wanted = location.options.get('platform')
        self._platform = Platform.parse(wanted) if wanted else settings.platform

    def references(self) -> Iterable[Reference]:
        """Return the one image."""
        return [self._address.reference]

    def open(self, reference: Reference) -> Image:
        """Return the image, having read manifest and config; of an index, the image of the platform asked for."""
        try:
            return self._open(reference)
        except (InvalidImage, ImageNotFound) as error:
            raise _named(error, reference) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _open(self, reference: Reference) -> Image:
        found = get_manifest(self._client, reference.digest or reference.tag)
        manifest = self._selected(found) if isinstance(found, Index) else found
        if manifest.config.media_type not in _CONFIGS:
            raise InvalidImage(f'{reference} is no container image: its config is a {manifest.config.media_type}')
        config = ImageConfig.parse(get_document(self._client, manifest.config, f'the config of {reference}'))
        if manifest is found and self._platform and not config.platform.satisfies(self._platform):
            raise ImageNotFound(f'no image for platform {self._platform}; there is: {config.platform}')
        return Image(reference, config, self._layers(manifest, config), manifest)

    def _selected(self, index: Index) -> Manifest:
        entry = index.select(self._platform or Platform.of_host())
        found = get_manifest(self._client, entry.digest)
        if len(found.raw) != entry.size:
            raise DigestMismatch(f'manifest {entry.digest} has {len(found.raw)} bytes, should have {entry.size}')
        if isinstance(found, Index):
            raise InvalidImage(f'the entry for {entry.platform} is an index within the index, which is not supported')
        return found

    def _layers(self, manifest: Manifest, config: ImageConfig) -> list[StoredLayer]:
        """Return the layers; that there are as many of them as diff_ids is for Image to see."""
        return [_layer(self._client, index, manifest, diff_id)
                for index, (_, diff_id) in enumerate(zip(manifest.layers, config.diff_ids))]


def _layer(client: RegistryClient, index: int, manifest: Manifest, diff_id: Digest) -> StoredLayer:
    descriptor = manifest.layers[index]
    return StoredLayer(index, descriptor, diff_id, partial(BlobSource, client, descriptor),
                       cache(partial(tar_size_hint, client, descriptor)))


def _named(error: InvalidImage | ImageNotFound, reference: Reference) -> InvalidImage | ImageNotFound:
    """Return the error with the image's name, where it does not say it itself."""
    text = str(error)
    return error if reference.name in text else type(error)(f'{reference}: {text}')
