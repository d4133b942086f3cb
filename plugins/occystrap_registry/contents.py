"""What a manifest stands for: an image with its layers, or an artifact with blobs that nobody looks into."""
from functools import cache, partial

from occystrap_core import Artifact, Image, StoredLayer, concerning
from occystrap_core.oci import Digest, ImageConfig, Manifest, Reference
from occystrap_registry.blobs import BlobSource, blob_size, tar_size_hint
from occystrap_registry.client import RegistryClient
from occystrap_registry.documents import get_document
from occystrap_registry.known_blobs import KnownBlobs


def open_image(client: RegistryClient, reference: Reference, manifest: Manifest) -> Image:
    """Return the image, having read its config; raises InvalidImage, ImageNotFound, ServiceError."""
    KnownBlobs.of(client.address.host, client.settings).add(
        client.address.reference.repository, (layer.digest for layer in manifest.layers if not layer.urls))
    with concerning('config'):
        config = ImageConfig.parse(get_document(client, manifest.config, f'the config of {reference}'))
    # that there are as many layers as diff_ids is for Image to see
    layers = [_layer(client, index, manifest, diff_id)
              for index, (_, diff_id) in enumerate(zip(manifest.layers, config.diff_ids))]
    return Image(reference, config, layers, manifest)


def open_artifact(client: RegistryClient, reference: Reference, manifest: Manifest) -> Artifact:
    """Return the artifact, having read what its manifest calls its config; raises as `open_image` does."""
    config = get_document(client, manifest.config, f'the config of {reference}')
    return Artifact(reference, config, manifest, partial(BlobSource, client))


def open_content(client: RegistryClient, reference: Reference, manifest: Manifest) -> Image:
    """Return the image, or the artifact, as the manifest's media types tell."""
    return (open_image if manifest.is_image else open_artifact)(client, reference, manifest)


def _layer(client: RegistryClient, index: int, manifest: Manifest, diff_id: Digest) -> StoredLayer:
    descriptor = manifest.layers[index]
    return StoredLayer(index, descriptor, diff_id, partial(BlobSource, client, descriptor),
                       cache(partial(tar_size_hint, client, descriptor)), partial(blob_size, client, descriptor))
