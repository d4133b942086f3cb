"""A small image made in memory, the same bytes on every machine, for testing plugins and for demos."""
import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from occystrap_core.files.compression import COMPRESSIONS
from occystrap_core.files.compressors import compress
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, StoredLayer, TarLayer
from occystrap_core.oci import media_types
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import dump_json
from occystrap_core.oci.manifest import Manifest
from occystrap_core.oci.reference import Reference

SAMPLE = 'occystrap/sample:v1'
LONG_NAME = 'usr/share/' + '/'.join(['a-directory-with-a-long-name'] * 6) + '/file'
UNICODE_NAME = 'usr/share/grüße-мир-世界'
_TIME = 1_500_000_000  # not 0, so that a filter which sets times has an effect
_CREATED = '2017-07-14T02:40:00Z'

Member = tuple[tarfile.TarInfo, bytes]


def sample_layers(variant: str = '') -> list[bytes]:
    """Return three tars, lowest first: files; a whiteout and a symlink; long and unicode names and a hardlink.

    Another `variant` has another third layer and the same two below it.
    """
    return [
        _tar([_directory('etc'), _file('etc/hostname', b'sample\n'), _file('etc/old.conf', b'to be deleted\n'),
              _directory('usr'), _directory('usr/bin'),
              _file('usr/bin/hello', b'#!/bin/sh\necho hello\n' * 2000, 0o755)]),
        _tar([_file('etc/.wh.old.conf', b''), _link(tarfile.SYMTYPE, 'etc/name', 'hostname')]),
        _tar([_file(LONG_NAME, variant.encode() or b'a long way down\n'), _file(UNICODE_NAME, b'unicode\n'),
              _link(tarfile.LNKTYPE, 'usr/share/hardlink', UNICODE_NAME)]),
    ]


def sample_config(layers: Sequence[bytes] | None = None, architecture: str = 'amd64') -> bytes:
    """Return the config of an image with these tars, or with `sample_layers()`, including a history."""
    tars = sample_layers() if layers is None else layers
    return config_of([Digest.of(tar) for tar in tars], architecture)


def config_of(diff_ids: Sequence[Digest], architecture: str = 'amd64') -> bytes:
    """Return the config of an image with these layers, including a history."""
    return dump_json({
        'architecture': architecture, 'os': 'linux', 'created': _CREATED,
        'config': {'Env': ['PATH=/usr/bin'], 'Cmd': ['/usr/bin/hello'], 'Labels': {'sample': 'yes'}},
        'rootfs': {'type': 'layers', 'diff_ids': list(diff_ids)},
        'history': [{'created': _CREATED, 'created_by': f'ADD layer {index}'} for index, _ in enumerate(diff_ids)]
        + [{'created': _CREATED, 'created_by': 'CMD ["/usr/bin/hello"]', 'empty_layer': True}],
    })


def sample_image(name: str = SAMPLE, *, stored: bool = True, variant: str = '', compression: str = 'gzip') -> Image:
    """Return the image with StoredLayers and a manifest, or, unless `stored`, with TarLayers and no manifest."""
    tars = sample_layers(variant)
    config, reference = ImageConfig.parse(sample_config(tars)), Reference.parse(name)
    if not stored:
        layers: list[Layer] = [TarLayer(index, Digest.of(tar), _opener(tar), len(tar))
                               for index, tar in enumerate(tars)]
        return Image(reference, config, layers)
    layers = [_stored(index, tar, compression) for index, tar in enumerate(tars)]
    pointer = Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw))
    manifest = Manifest.build(pointer, [layer.descriptor for layer in layers if layer.descriptor])
    return Image(reference, config, layers, manifest)


def _stored(index: int, tar: bytes, compression: str) -> StoredLayer:
    blob = _blob(tar, compression)
    media_type = media_types.layer_media_type(media_types.OCI_MANIFEST, COMPRESSIONS[compression])
    return StoredLayer(index, Descriptor(media_type, Digest.of(blob), len(blob)), Digest.of(tar), _opener(blob))


@lru_cache
def _blob(tar: bytes, compression: str) -> bytes:
    target = io.BytesIO()
    compress(ByteStream(_opener(tar)()), target, compression, threads=1)
    return target.getvalue()


def _opener(data: bytes) -> Callable[[], Readable]:
    return lambda: io.BytesIO(data)


def _tar(members: Iterable[Member]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for header, content in members:
            header.mtime = _TIME
            tar.addfile(header, io.BytesIO(content))
    return target.getvalue()


def _file(name: str, content: bytes, mode: int = 0o644) -> Member:
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(content), mode
    return header, content


def _directory(name: str) -> Member:
    header = tarfile.TarInfo(name)
    header.type, header.mode = tarfile.DIRTYPE, 0o755
    return header, b''


def _link(kind: bytes, name: str, target: str) -> Member:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header, b''
