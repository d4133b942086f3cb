"""The sample image of three layers, put into a registry by plain requests."""
import gzip
import json

from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.services.registry import Registry
from tests.services.uploads import put_blob, put_manifest


def put_sample_image(registry: Registry, repository: str, tag: str, variant: str = '') -> dict[str, str]:
    """Push the image, layers gzipped; returns its image ID and manifest digest."""
    tars = sample_layers(variant)
    config = sample_config(tars)
    document = {
        'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST,
        'config': put_blob(registry, repository, config, media_types.OCI_CONFIG),
        'layers': [put_blob(registry, repository, gzip.compress(tar, mtime=0), f'{media_types.OCI_LAYER}+gzip')
                   for tar in tars]}
    raw = json.dumps(document).encode()
    put_manifest(registry, repository, raw, media_types.OCI_MANIFEST, tag)
    return {'image_id': Digest.of(config), 'manifest': Digest.of(raw)}
