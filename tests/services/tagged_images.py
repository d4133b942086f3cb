"""Tiny images written straight into a registry's storage, many tags a repository, as years of releases leave them."""
import gzip
import hashlib
import json
from typing import Any

from tests.services.registry_storage import RegistryStorage
from tests.services.tiny_image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, layer_tar


class TaggedImages:
    """Adds images to a storage; each stands on the layers `base`, and has one of its own."""

    def __init__(self, storage: RegistryStorage) -> None:
        self.storage = storage

    def put(self, repository: str, tag: str, content: str, base: tuple[str, ...] = ()) -> str:
        """Put an image, and return its digest. The same content makes the same image."""
        tars = [layer_tar({f'etc/{each}': each.encode()}) for each in (*base, content)]
        layers = [self._blob(gzip.compress(tar, mtime=0), LAYER_TYPE) for tar in tars]
        diff_ids = [f'sha256:{hashlib.sha256(tar).hexdigest()}' for tar in tars]
        config = self._blob(json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Labels': {'is': content}},
                                        'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}).encode(), CONFIG_TYPE)
        manifest = self._blob(json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': config,
                                          'layers': layers}).encode(), MANIFEST_TYPE)
        for blob in (config, *layers):
            self.storage.link_blob(repository, blob['digest'])
        self.storage.link_manifest(repository, tag, manifest['digest'])
        return str(manifest['digest'])

    def _blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = f'sha256:{hashlib.sha256(data).hexdigest()}'
        path = self.storage.blob_path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return {'mediaType': media_type, 'digest': digest, 'size': len(data)}
