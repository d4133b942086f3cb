"""Sixty small images that share ten layers, three each; in the storage of a registry, written in a moment."""
import gzip
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occystrap_core.oci import Digest
from tests.services.directories import service_directory
from tests.services.ports import LOOPBACK
from tests.services.registry import Registry, plain_registry
from tests.services.registry_storage import RegistryStorage
from tests.services.tiny_image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, layer_tar

COUNT, SHARED = 60, 10
NAMES = [f'team/app-{number:02}:v1' for number in range(COUNT)]


@dataclass(frozen=True)
class SixtyImages:
    """A registry that serves the images; `shared` are the digests of the ten layers."""

    registry: Registry
    shared: frozenset[str]

    def listed(self, directory: Path, count: int = COUNT, query: str = '') -> str:
        """Write a list of the first images into a directory, and return it as a source."""
        path = directory / f'images-{count}.txt'
        path.write_text(''.join(f'registry://{self.registry.host}/{name}{query}\n' for name in NAMES[:count]))
        return f'list://{path}'


@contextmanager
def sixty_images(size: int = 50_000, address: str = LOOPBACK) -> Iterator[SixtyImages]:
    """Serve them; each shared layer has `size` bytes that do not compress."""
    with service_directory('sixty') as root:
        storage = RegistryStorage(root / 'storage')
        shared = [_layer(storage, f'shared {number}', size) for number in range(SHARED)]
        for number, name in enumerate(NAMES):
            own = _layer(storage, f'own {number}', 2_000)
            _image(storage, name, [*(shared[(number * each) % SHARED] for each in (1, 3, 7)), own])
        with plain_registry(root / 'storage', address) as registry:
            yield SixtyImages(registry, frozenset(blob['digest'] for blob, _ in shared))


def _image(storage: RegistryStorage, name: str, layers: list[tuple[dict[str, Any], str]]) -> None:
    distinct = list({blob['digest']: (blob, diff_id) for blob, diff_id in layers}.values())
    repository, _, tag = name.partition(':')
    config = _document(storage, {'architecture': 'amd64', 'os': 'linux', 'config': {'Labels': {'name': name}},
                                 'rootfs': {'type': 'layers', 'diff_ids': [each for _, each in distinct]}}, CONFIG_TYPE)
    blobs = [blob for blob, _ in distinct]
    manifest = _document(storage, {'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': config, 'layers': blobs},
                         MANIFEST_TYPE)
    for blob in [config, *blobs]:
        storage.link_blob(repository, blob['digest'])
    storage.link_manifest(repository, tag, manifest['digest'])


def _layer(storage: RegistryStorage, name: str, size: int) -> tuple[dict[str, Any], str]:
    tar = layer_tar({f'srv/{name}': random.Random(name).randbytes(size)})
    return _blob(storage, gzip.compress(tar, 1, mtime=0), LAYER_TYPE), str(Digest.of(tar))


def _document(storage: RegistryStorage, document: dict[str, Any], media_type: str) -> dict[str, Any]:
    return _blob(storage, json.dumps(document).encode(), media_type)


def _blob(storage: RegistryStorage, data: bytes, media_type: str) -> dict[str, Any]:
    digest = str(Digest.of(data))
    path = storage.blob_path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {'mediaType': media_type, 'digest': digest, 'size': len(data)}
