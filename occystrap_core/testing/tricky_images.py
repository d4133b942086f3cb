"""Images that writers, inputs and filters get wrong: made in memory, the same bytes each time."""
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial

from occystrap_core.files.compressors import compress
from occystrap_core.files.stream import CHUNK, ByteStream, Readable
from occystrap_core.image.image import Child, Content, Image, ImageIndex
from occystrap_core.image.layer import Layer, StoredLayer, TarLayer
from occystrap_core.image.sequential_image import SequentialImage
from occystrap_core.oci import media_types
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference
from occystrap_core.testing.sample import SAMPLE, config_of, sample_config, sample_image, sample_layers

LARGE = 4 << 20
"""The size in bytes of a layer that must not be read as a whole."""
EMPTY = bytes(10240)
"""A tar without entries, as tar and Docker write it."""
_REFERENCE = Reference.parse(SAMPLE)


def tar_of(*members: tuple[str | bytes, bytes | None]) -> bytes:
    """Return a tar of files with these names and contents; a name with None is a directory."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.GNU_FORMAT, errors='surrogateescape') as tar:
        for name, content in members:
            text = name if isinstance(name, str) else name.decode(errors='surrogateescape')
            header = tarfile.TarInfo(text)
            header.mtime, header.size, header.mode = 1_500_000_000, len(content or b''), 0o644
            if content is None:
                header.type, header.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(header, io.BytesIO(content or b''))
    return target.getvalue()


def image_of(tars: Sequence[bytes], compression: str = 'gzip', architecture: str = 'amd64') -> Image:
    """Return an image of these layers, lowest first, with blobs and a manifest; compression may be `none`."""
    config = ImageConfig.parse(sample_config(tars, architecture))
    layers = [_stored(index, tar, compression) for index, tar in enumerate(tars)]
    pointer = Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw))
    manifest = Manifest.build(pointer, [layer.descriptor for layer in layers if layer.descriptor])
    return Image(_REFERENCE, config, layers, manifest)


def plain_image(tars: Sequence[bytes], openers: Sequence[Callable[[], Readable]] = ()) -> Image:
    """Return an image of these layers as a daemon or a docker archive has it: tars, no manifest."""
    config = ImageConfig.parse(sample_config(tars))
    opened = openers or [partial(io.BytesIO, tar) for tar in tars]
    return Image(_REFERENCE, config, [TarLayer(index, Digest.of(tar), opener, len(tar))
                                      for index, (tar, opener) in enumerate(zip(tars, opened, strict=True))])


def several_platforms() -> ImageIndex:
    """Return an index of two images that have a layer in common."""
    images = {name: image_of(tars, architecture=name) for name, tars in {
        'amd64': sample_layers(), 'arm64': [*sample_layers()[:2], tar_of(('arm', b'64\n'))]}.items()}
    entries = [replace(each.manifest.descriptor, platform=Platform('linux', name))
               for name, each in images.items() if each.manifest]
    return ImageIndex(_REFERENCE, Index.build(entries), [Child(*each) for each in enumerate(images.values())])


def streamed_image() -> Image:
    """Return an image whose layers arrive one after the other, and whose config comes last, as a daemon exports it."""
    return _Streamed(sample_layers())


class _Streamed(SequentialImage):
    def __init__(self, tars: Sequence[bytes]) -> None:
        self._late, self._tars = ImageConfig.parse(sample_config(tars)), tars
        super().__init__(_REFERENCE, self._late.diff_ids)

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers, whose digests show when they were read."""
        for tar in reversed(self._tars):
            yield TarLayer(-1, None, partial(io.BytesIO, tar), len(tar))
        self.found_config(self._late)


def _many_layers() -> Image:
    return image_of([tar_of((f'layer-{number}', str(number).encode())) for number in range(127)])


def _whiteouts() -> Image:
    return image_of([
        tar_of(('etc', None), ('etc/old', b'1'), ('opt', None), ('opt/old', b'2'), ('opt/sub', None),
               ('opt/sub/x', b'')),
        tar_of(('etc', None), ('etc/.wh.old', b''), ('opt', None), ('opt/.wh..wh..opq', b''), ('opt/new', b'3')),
        tar_of(('.wh.etc', b''), ('etc.d', b'4'))])


def _several_chunks() -> Image:
    """Return an image with a layer of more bytes than are in all buffers together, no two parts of which are equal."""
    content = b''.join(number.to_bytes(8, 'big') for number in range(9 * CHUNK // 8))
    return image_of([tar_of(('numbers', content))], 'gzip-fast')


def _names() -> Image:
    return image_of([tar_of((b'caf\xe9', b'latin-1'), ('new\nline', b'1'), (' blank ', b'2'), ('%41?x=1#y', b'3'),
                            ('deep/' * 60 + 'file', b'deep'), ('n' * 255, b'longest'))])


def big_image(size: int) -> Image:
    """Return an image with one layer that holds a file of `size` zero bytes, which are made while they are read."""
    head = _tar_head(size)
    rest = -size % 512 + 1024
    with ByteStream(_Zeros(head, size + rest)) as stream:
        digest = stream.drain()
    descriptor = Descriptor(media_types.OCI_LAYER, digest, len(head) + size + rest)
    config = ImageConfig.parse(config_of([digest]))
    layer = StoredLayer(0, descriptor, digest, lambda: _Zeros(head, size + rest))
    return Image(_REFERENCE, config, [layer], Manifest.build(
        Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw)), [descriptor]))


def _tar_head(size: int) -> bytes:
    header = tarfile.TarInfo('zeros')
    header.size = size
    return header.tobuf(tarfile.GNU_FORMAT)


class _Zeros:
    """Some bytes, then zeros."""

    def __init__(self, head: bytes, zeros: int) -> None:
        self._head, self._zeros = head, zeros

    def readinto(self, buffer: memoryview, /) -> int:
        if self._head:
            piece, self._head = self._head[:len(buffer)], self._head[len(buffer):]
            buffer[:len(piece)] = piece
            return len(piece)
        count = min(len(buffer), self._zeros)
        buffer[:count] = bytes(count)
        self._zeros -= count
        return count

    def close(self) -> None:
        """Nothing is open."""


TRICKY: dict[str, Callable[[], Content]] = {
    'sample': sample_image,
    'tars_without_manifest': lambda: sample_image(stored=False),
    'streamed': streamed_image,
    'no_layers': lambda: image_of([]),
    'one_empty_layer': lambda: image_of([EMPTY]),
    'same_layer_twice': lambda: image_of([sample_layers()[0], EMPTY, sample_layers()[0]]),
    'many_layers': _many_layers,
    'whiteouts': _whiteouts,
    'odd_names': _names,
    'several_chunks': _several_chunks,
    'zstd': lambda: sample_image(compression='zstd'),
    'uncompressed_blobs': lambda: image_of(sample_layers(), 'none'),
}
"""Single images, by name."""


@lru_cache
def _blob(tar: bytes, compression: str) -> bytes:
    if compression == 'none':
        return tar
    target = io.BytesIO()
    compress(ByteStream(io.BytesIO(tar)), target, compression, threads=1)
    return target.getvalue()


def _stored(index: int, tar: bytes, compression: str) -> StoredLayer:
    blob = _blob(tar, compression)
    kind = media_types.OCI_LAYER + {'none': '', 'gzip-fast': '+gzip'}.get(compression, f'+{compression}')
    return StoredLayer(index, Descriptor(kind, Digest.of(blob), len(blob)), Digest.of(tar), partial(io.BytesIO, blob))
