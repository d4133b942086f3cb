"""Config and manifest of the resulting image: the source's own if nothing changed, else new ones."""
from collections.abc import Sequence

from occystrap_core.api.written_image import PlacedLayer
from occystrap_core.image.image import Image
from occystrap_core.oci import media_types
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.manifest import Manifest
from occystrap_core.oci.media_types import Compression


def resulting_config(image: Image, layers: Sequence[PlacedLayer]) -> ImageConfig:
    """Return the config, byte for byte the source's unless a diff_id changed; its history is kept."""
    return image.config.with_diff_ids([layer.diff_id for layer in layers])


def resulting_manifest(image: Image, config: ImageConfig, layers: Sequence[PlacedLayer]) -> Manifest | None:
    """Return the source's manifest if it is still correct, else a new one, else None.

    A new one needs every layer's descriptor, which only writers of stored blobs have.
    """
    source = image.manifest
    descriptors = [layer.descriptor for layer in layers if layer.descriptor]
    kept = source and config.digest == source.config.digest
    if kept and (not descriptors or _same_blobs(descriptors, source)):
        return source
    if len(descriptors) < len(layers):
        return None
    return _build(source, config, descriptors)


def _same_blobs(descriptors: Sequence[Descriptor], source: Manifest | None) -> bool:
    return source is not None and [each.digest for each in descriptors] == [each.digest for each in source.layers]


def _build(source: Manifest | None, config: ImageConfig, layers: Sequence[Descriptor]) -> Manifest:
    """Return a manifest in the source's family; in OCI's if there is no source manifest, or a blob that Docker's family
    lacks."""
    compressions = [media_types.layer_compression(layer.media_type) for layer in layers]
    kind = source.media_type if source and Compression.ZSTD not in compressions else media_types.OCI_MANIFEST
    config_type = media_types.DOCKER_CONFIG if kind == media_types.DOCKER_MANIFEST else media_types.OCI_CONFIG
    annotations = source.annotations if source and kind == media_types.OCI_MANIFEST else {}
    return Manifest.build(
        Descriptor(config_type, config.digest, len(config.raw)),
        [Descriptor(media_types.layer_media_type(kind, compression) if compression else layer.media_type, layer.digest,
                    layer.size, urls=layer.urls, annotations=layer.annotations)
         for layer, compression in zip(layers, compressions, strict=True)], kind, annotations)
