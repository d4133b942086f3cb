"""Many images that share their bases, as a company's registry has them; made once per machine, always the same.

A tenth of them, at least six, are base images of one layer. The others (`team/app-020:v1`) stand on one or two of
those layers with a small one of their own. In the set of 200 two images have a layer of 200 MB besides.
"""
import gzip
import hashlib
import io
import json
import random
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.cache import built_once
from tests.services.registry import Registry, plain_registry
from tests.services.registry_storage import RegistryStorage
from tests.services.tiny_image import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE

VERSION = '2'
FULL = 200
LARGE = 200_000_000
TAG = 'v1'
Document = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """A layer in a storage: its descriptor and the digest of its tar."""

    descriptor: Document
    diff_id: str


@dataclass(frozen=True)
class ManyImages(RegistryStorage):
    """The cached set, in a registry's storage that belongs to all: never push to it; `names` are `repository:tag`."""

    names: tuple[str, ...]

    def manifest_digest(self, name: str) -> str:
        """The digest of an image's manifest."""
        return self.tag_digest(*name.split(':'))

    def manifest(self, name: str) -> Document:
        """An image's manifest."""
        document: Document = json.loads(self.read_blob(self.manifest_digest(name)))
        return document

    def layers(self, name: str) -> list[str]:
        """The digests of an image's layers."""
        return [layer['digest'] for layer in self.manifest(name)['layers']]

    def uses(self) -> Counter[str]:
        """How many images have each layer, by its digest."""
        return Counter(digest for name in self.names for digest in self.layers(name))

    def list_for(self, host: str, query: str = '') -> str:
        """The set at a registry as a list of images, a line each."""
        return ''.join(f'registry://{host}/{name}{query}\n' for name in self.names)


def many_images(count: int = FULL) -> ManyImages:
    """The cached set of that many images, built by the first who asks (200: half a minute, 500 MB)."""
    root = built_once(f'many{count}', VERSION, lambda directory: _Builder(directory).build(count))
    return ManyImages(root, tuple(_name(number, count) for number in range(count)))


@contextmanager
def many_registry(count: int = FULL) -> Iterator[Registry]:
    """An open registry that serves the cached set; never push to it."""
    with plain_registry(many_images(count).root) as registry:
        yield registry


def _bases(count: int) -> int:
    return max(6, count // 10)


def _name(number: int, count: int) -> str:
    return f'{"base/os" if number < _bases(count) else "team/app"}-{number:03}:{TAG}'


class _Builder:
    """Writes blobs and links where distribution has them; the registry does not run meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._storage, self._directory = RegistryStorage(directory), directory

    def build(self, count: int) -> None:
        bases = [self._layer(f'base {number}', 200_000 + number * 150_000 % 3_000_000) for number in
                 range(_bases(count))]
        for number in range(count):
            chosen = [bases[number]] if number < len(bases) else self._chosen(bases, number, count)
            self._image(_name(number, count), chosen)

    def _chosen(self, bases: list[Layer], number: int, count: int) -> list[Layer]:
        first, second = number % len(bases), number * 7 // 3 % len(bases)
        own = self._layer(f'own {number}', 2_000 + number * 977 % 60_000)
        below = [bases[first], *([bases[second]] if second != first else [])]
        large = count >= FULL and number in (count // 2, count - 1)
        return [*below, *([self._layer(f'large {number}', LARGE)] if large else []), own]

    def _image(self, name: str, layers: list[Layer]) -> None:
        repository, _, tag = name.partition(':')
        config = {'architecture': 'amd64', 'os': 'linux', 'config': {'Labels': {'name': name}},
                  'rootfs': {'type': 'layers', 'diff_ids': [layer.diff_id for layer in layers]}}
        described = self._document(config, CONFIG_TYPE)
        manifest = self._document({'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': described,
                                   'layers': [layer.descriptor for layer in layers]}, MANIFEST_TYPE)
        for blob in [described, *(layer.descriptor for layer in layers)]:
            self._storage.link_blob(repository, blob['digest'])
        self._storage.link_manifest(repository, tag, manifest['digest'])

    def _document(self, document: Document, media_type: str) -> Document:
        data = json.dumps(document).encode()
        digest = f'sha256:{hashlib.sha256(data).hexdigest()}'
        path = self._storage.blob_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {'mediaType': media_type, 'digest': digest, 'size': len(data)}

    def _layer(self, seed: str, size: int) -> Layer:
        partial = self._directory / 'partial'
        with partial.open('wb') as file:
            stored = _Hashing(file)
            with gzip.GzipFile('', 'wb', compresslevel=1, fileobj=stored, mtime=0) as compressed:
                tar = _Hashing(compressed)
                _write_tar(tar, seed, size)
        digest = f'sha256:{stored.hash.hexdigest()}'
        self._storage.blob_path(digest).parent.mkdir(parents=True)
        partial.rename(self._storage.blob_path(digest))
        return Layer({'mediaType': LAYER_TYPE, 'digest': digest, 'size': stored.size},
                     f'sha256:{tar.hash.hexdigest()}')


class _Hashing(io.RawIOBase):
    """A writer that hashes and counts what goes through."""

    def __init__(self, target: Any) -> None:
        self._target, self.hash, self.size = target, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)


class _Noise(io.RawIOBase):
    """Bytes that do not compress, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def read(self, size: int = -1) -> bytes:
        return self._random.randbytes(size)


def _write_tar(target: io.RawIOBase, seed: str, size: int) -> None:
    name = seed.replace(' ', '-')
    with tarfile.open(fileobj=target, mode='w|', format=tarfile.PAX_FORMAT) as tar:
        text = tarfile.TarInfo(f'usr/share/{name}.txt')
        text.size = len(seed) * 4096
        tar.addfile(text, io.BytesIO(seed.encode() * 4096))
        noise = tarfile.TarInfo(f'usr/lib/{name}.so')
        noise.size = size
        tar.addfile(noise, _Noise(seed))
