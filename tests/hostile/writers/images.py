"""The two images that are written over each other: most layers in common, one of their own, noise that takes room."""
import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.services.faults import FaultProxy
from tests.services.registry import Registry
from tests.services.uploads import put_blob, put_manifest

NAME = 'writers/app'
OLD, NEW = 'old', 'new'
VARIANTS = (OLD, NEW)
NOISE = {OLD: 60_000, NEW: 900_000}
"""Bytes that do not compress: the new image does not fit where the old one does."""


def tars(variant: str) -> list[bytes]:
    """The layers of one of the images, lowest first."""
    return [*sample_layers(variant), noise(variant, NOISE[variant])]


def noise(seed: str, size: int) -> bytes:
    """A layer with one file of that many bytes."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as tar:
        file = tarfile.TarInfo(f'usr/lib/{seed}.so')
        file.size = size
        tar.addfile(file, io.BytesIO(random.Random(seed).randbytes(size)))
    return target.getvalue()


def image_id(variant: str) -> Digest:
    """The digest of an image's config."""
    return Digest.of(sample_config(tars(variant)))


def write_archives(directory: Path) -> dict[str, str]:
    """Both images as archives, of one name; returns their URIs by variant."""
    return {variant: 'tar://' + str(write_docker_archive(
        directory / f'{variant}.tar', sample_config(tars(variant)), tars(variant),
        f'{NAME}:v1')) for variant in VARIANTS}


@dataclass(frozen=True)
class Source:
    """A registry where one tag names one image or the other; what is read of it is recorded."""

    registry: Registry
    proxy: FaultProxy
    manifests: dict[str, str]
    layers: frozenset[str]

    @property
    def uri(self) -> str:
        """The image."""
        return f'registry://{self.proxy.host}/{NAME}:v1'

    def show(self, variant: str) -> None:
        """Have the tag name this one."""
        self.registry.move_tag(NAME, 'v1', self.manifests[variant])

    def layers_read(self) -> dict[str, int]:
        """The bytes of layers that were read, by digest; empty if none was asked for."""
        return {digest: size for digest, size in self.proxy.bytes_read().items() if digest in self.layers}


def serve(registry: Registry, start_proxy: Callable[..., FaultProxy], latency: float = 0.0) -> Source:
    """Put both images into the registry and a proxy before it, which waits `latency` seconds with every request."""
    pushed = {variant: _pushed(registry, variant) for variant in VARIANTS}
    layers = frozenset(layer for _, blobs in pushed.values() for layer in blobs)
    manifests = {variant: manifest for variant, (manifest, _) in pushed.items()}
    return Source(registry, start_proxy(registry.host, latency=latency), manifests, layers)


@cache
def _pushed(registry: Registry, variant: str) -> tuple[str, list[str]]:
    return push(registry, NAME, tars(variant))


def push(registry: Registry, repository: str, layers: Sequence[bytes], tag: str = 'v1') -> tuple[str, list[str]]:
    """Push an image by plain requests; returns the digests of its manifest and its layers."""
    config = put_blob(registry, repository, sample_config(layers), media_types.OCI_CONFIG)
    blobs = [put_blob(registry, repository, gzip.compress(tar, 1, mtime=0), f'{media_types.OCI_LAYER}+gzip')
             for tar in layers]
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'config': config, 'layers': blobs}
    pushed = put_manifest(registry, repository, json.dumps(document).encode(), media_types.OCI_MANIFEST, tag)
    return str(pushed['digest']), [str(blob['digest']) for blob in blobs]
