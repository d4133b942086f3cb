"""What daemons export, made in memory: the sample image with its first layer twice, in each layout."""
import gzip
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import zstandard

from occystrap_core.oci import Descriptor, Digest, Index, Manifest, Platform
from occystrap_core.testing.sample import sample_config, sample_layers

OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
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
    """As Docker up to 24 exports: directories named by neither content, doubles as symlinks, the config at the root."""
    tars = double_tars() if tars is None else tars
    config, image_id = _config(tars)
    members: list[Member] = [(f'{image_id.hex}.json', config)]
    first: dict[bytes, str] = {}
    for index, tar in enumerate(tars):
        directory = f'{index:064x}'
        members += [(f'{directory}/VERSION', b'1.0'), (f'{directory}/json', b'{"id": "x"}')]
        members.append((f'{directory}/layer.tar', None, f'../{first[tar]}/layer.tar') if tar in first
                       else (f'{directory}/layer.tar', tar))
        first.setdefault(tar, directory)
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
    index = _index([(manifest, 'arm64')])
    return Exported(Digest.of(index), config, tars, _by_digest([config, manifest, index, *stored]))


def containerd_zstd() -> Exported:
    """As `containerd`, with the other compression."""
    return containerd(compress=lambda tar: zstandard.ZstdCompressor().compress(tar))


def platforms(tars: Mapping[str, Sequence[bytes]] | None = None, *others: bytes) -> list[Exported]:
    """As `containerd`, images for several platforms in one export, as a daemon shows it on each of these machines.

    `tars` are those of each architecture; `others` are documents that lie beside.
    """
    tars = {each: double_tars(each) for each in ('amd64', 'arm64')} if tars is None else tars
    stored = {each: [gzip.compress(tar, mtime=0) for tar in layers] for each, layers in tars.items()}
    configs = {each: sample_config(layers, each) for each, layers in tars.items()}
    manifests = {each: _manifest(config, stored[each]) for each, config in configs.items()}
    index = _index([(manifest, each) for each, manifest in manifests.items()])
    archive = _by_digest([index, *others, *configs.values(), *manifests.values(),
                          *(blob for blobs in stored.values() for blob in blobs)])
    return [Exported(Digest.of(index), configs[each], layers, archive, each) for each, layers in tars.items()]


LAYOUTS = [legacy, blobs, podman, containerd, containerd_zstd]


def _config(tars: Sequence[bytes]) -> tuple[bytes, Digest]:
    config = sample_config(tars)
    return config, Digest.of(config)


def _manifest(config: bytes, stored: Sequence[bytes]) -> bytes:
    descriptors = [Descriptor(OCI_LAYER, Digest.of(blob), len(blob)) for blob in stored]
    return Manifest.build(Descriptor(OCI_CONFIG, Digest.of(config), len(config)), descriptors).raw


def _index(manifests: Sequence[tuple[bytes, str]]) -> bytes:
    return Index.build([Descriptor(OCI_MANIFEST, Digest.of(raw), len(raw), Platform('linux', architecture))
                        for raw, architecture in manifests]).raw


def _by_digest(contents: Sequence[bytes]) -> bytes:
    members: list[Member] = [(f'blobs/sha256/{Digest.of(content).hex}', content) for content in dict.fromkeys(contents)]
    return make_tar([*sorted(members), ('index.json', b'{}'), ('manifest.json', b'[]'), ('oci-layout', b'{}')])
