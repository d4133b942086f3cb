"""A tiny OCI image in a registry: one gzipped layer with the files that the caller names."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping

from tests.services.registry import Registry
from tests.services.uploads import Descriptor, put_blob, put_manifest

MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'


def put_tiny_image(
    registry: Registry, repository: str, tag: str = '', *,
    architecture: str = 'amd64', files: Mapping[str, bytes] | None = None,
) -> Descriptor:
    """Pushes the image (without a tag: under its digest only); returns its manifest's descriptor with platform."""
    tar = layer_tar(files or {'etc/hello': b'hello from ' + architecture.encode() + b'\n'})
    layer = put_blob(registry, repository, gzip.compress(tar, mtime=0), LAYER_TYPE)
    platform = {'os': 'linux', 'architecture': architecture}
    diff_id = f'sha256:{hashlib.sha256(tar).hexdigest()}'
    config = {**platform, 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': [diff_id]}}
    document = {
        'schemaVersion': 2, 'mediaType': MANIFEST_TYPE,
        'config': put_blob(registry, repository, json.dumps(config).encode(), CONFIG_TYPE), 'layers': [layer],
    }
    return {**put_manifest(registry, repository, json.dumps(document).encode(), MANIFEST_TYPE, tag),
            'platform': platform}


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """Return the tar of a layer with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as layer:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            layer.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
