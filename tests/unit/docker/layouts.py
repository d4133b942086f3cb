"""What daemons export, made in memory: the sample image with its first layer twice, in each layout."""
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zstandard

from occystrap_core.oci import Descriptor, Digest, Manifest
from occystrap_core.testing.sample import sample_config, sample_layers

OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar'
Member = tuple[str, bytes] | tuple[str, None, str]
"""A file's name and content, or a symlink's name, None and target."""


@dataclass(frozen=True)
class Exported:
    """An image as a daemon has it: its ID, its layers' tars in order, its archive."""

    id: Digest
    config: bytes
    tars: Sequence[bytes]
    archive: bytes
    architecture: str = 'arm64'

    @property
    def diff_ids(self) -> list[Digest]:
        """The digests of the tars, lowest first."""
        return [Digest.of(tar) for tar in self.tars]


def make_tar(members: Sequence[Member], **options: int) -> bytes:
    """An archive of these members, ended by zeros."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', **options) as archive:  # type: ignore[call-overload]
        for name, content, *link in members:
            header = tarfile.TarInfo(name)
            if content is None:
                header.type, header.linkname = tarfile.SYMTYPE, link[0]
            else:
                header.size = len(content)
            archive.addfile(header, io.BytesIO(content or b''))
    return target.getvalue()


def double_tars(variant: str = '') -> list[bytes]:
    """The sample's layers, and the first of them once more on top."""
    layers = sample_layers(variant)
    return [*layers, layers[0]]


def legacy(tars: Sequence[bytes] | None = None) -> Exported:
    """As Docker up to 24 exports: folders named by neither content, doubles as symlinks, the config at the root."""
    tars = double_tars() if tars is None else tars
    config, image_id = _config(tars)
    members: list[Member] = [(f'{image_id.hex}.json', config)]
    first: dict[bytes, str] = {}
    for index, tar in enumerate(tars):
        folder = f'{index:064x}'
        members += [(f'{folder}/VERSION', b'1.0'), (f'{folder}/json', b'{"id": "x"}')]
        members.append((f'{folder}/layer.tar', None, f'../{first[tar]}/layer.tar') if tar in first
                       else (f'{folder}/layer.tar', tar))
        first.setdefault(tar, folder)
    return Exported(image_id, config, tars, make_tar([*members, ('manifest.json', b'[]'), ('repositories', b'{}')]))


def blobs(tars: Sequence[bytes] | None = None) -> Exported:
    """As Docker from 25 on exports: everything by digest, in the order of the digests."""
    tars = double_tars() if tars is None else tars
    config, image_id = _config(tars)
    manifest = _manifest(config, tars)
    return Exported(image_id, config, tars, _by_digest([config, manifest, b'{"id": "x"}', *tars]))


def podman(tars: Sequence[bytes] | None = None) -> Exported:
    """As Podman exports: layers by digest at the root, the legacy names as symlinks, the config behind the layers."""
    tars = double_tars() if tars is None else tars
    config, image_id = _config(tars)
    layers: list[Member] = [(f'{Digest.of(tar).hex}.tar', tar) for tar in dict.fromkeys(tars)]
    links: list[Member] = [(f'{index:064x}/layer.tar', None, f'../{Digest.of(tar).hex}.tar')
                           for index, tar in enumerate(tars)]
    return Exported(image_id, config, tars, make_tar([*layers, (f'{image_id.hex}.json', config), *links]))


def containerd(tars: Sequence[bytes] | None = None,
               compress: Callable[[bytes], bytes] = lambda tar: gzip.compress(tar, mtime=0)) -> Exported:
    """As Docker with containerd's store exports: the ID is an index's digest, layers are compressed."""
    tars = double_tars() if tars is None else tars
    config, _ = _config(tars)
    stored = [compress(tar) for tar in tars]
    manifest = _manifest(config, stored)
    index = json.dumps({'schemaVersion': 2, 'manifests': [{'digest': Digest.of(manifest), 'size': len(manifest)}]})
    return Exported(Digest.of(index.encode()), config, tars, _by_digest([config, manifest, index.encode(), *stored]))


def containerd_zstd() -> Exported:
    """As `containerd`, with the other compression."""
    return containerd(compress=lambda tar: zstandard.ZstdCompressor().compress(tar))


def platforms() -> list[Exported]:
    """As `containerd`, the image for amd64 and for arm64 in one export, as a daemon shows it on either machine."""
    documents: list[bytes] = []
    manifests: list[bytes] = []
    configs: list[bytes] = []
    layers = {architecture: double_tars(architecture) for architecture in ('amd64', 'arm64')}
    for architecture, tars in layers.items():
        stored = [gzip.compress(tar, mtime=0) for tar in tars]
        configs.append(sample_config(tars, architecture))
        manifests.append(_manifest(configs[-1], stored))
        documents += [configs[-1], manifests[-1], *stored]
    index = json.dumps({'schemaVersion': 2, 'manifests': [
        {'digest': Digest.of(each), 'size': len(each)} for each in manifests]}).encode()
    archive = _by_digest([*documents, index])
    return [Exported(Digest.of(index), config, tars, archive, architecture)
            for config, (architecture, tars) in zip(configs, layers.items())]


LAYOUTS = [legacy, blobs, podman, containerd, containerd_zstd]


def _config(tars: Sequence[bytes]) -> tuple[bytes, Digest]:
    config = sample_config(tars)
    return config, Digest.of(config)


def _manifest(config: bytes, stored: Sequence[bytes]) -> bytes:
    descriptors = [Descriptor(OCI_LAYER, Digest.of(blob), len(blob)) for blob in stored]
    return Manifest.build(Descriptor(OCI_CONFIG, Digest.of(config), len(config)), descriptors).raw


def _by_digest(contents: Sequence[bytes]) -> bytes:
    members: list[Member] = [(f'blobs/sha256/{Digest.of(content).hex}', content) for content in dict.fromkeys(contents)]
    return make_tar([*sorted(members), ('index.json', b'{}'), ('manifest.json', b'[]'), ('oci-layout', b'{}')])
