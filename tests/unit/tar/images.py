"""Images that are awkward to write: with odd layers, with hints that are wrong, arriving one layer at a time."""
import io
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence

from occystrap_core.image.image import Image
from occystrap_core.image.sequential_image import SequentialImage
from occystrap_core.image.layer import Layer, StoredLayer, TarLayer
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Manifest, Reference, media_types
from occystrap_core.plugins.resolver import open_filters
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_config
from tests.services.installed import installed_plugins
from tests.unit.tar.archives import gzipped

Hint = Callable[[int], int | None]
REFERENCE = Reference.parse('made/by-hand:v1')


def image_of(tars: Sequence[bytes], hint: Hint = lambda size: size, slow: int | None = None) -> Image:
    """Return an image of gzipped layers; `hint` gets the right size of each; the one numbered `slow` comes last."""
    config = ImageConfig.parse(sample_config(tars))
    layers = [_layer(index, tar, hint, index == slow) for index, tar in enumerate(tars)]
    pointer = Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw))
    manifest = Manifest.build(pointer, [layer.descriptor for layer in layers if layer.descriptor])
    return Image(REFERENCE, config, layers, manifest)


def _layer(index: int, tar: bytes, hint: Hint, slow: bool) -> Layer:
    blob = gzipped(tar)
    descriptor = Descriptor(f'{media_types.OCI_LAYER}+gzip', Digest.of(blob), len(blob))
    return StoredLayer(index, descriptor, Digest.of(tar), lambda: (_Slow if slow else io.BytesIO)(blob),
                       lambda: hint(len(tar)))


class _Slow(io.BytesIO):
    def readinto(self, buffer: object, /) -> int:
        time.sleep(0.1)
        return super().readinto(buffer)  # type: ignore[arg-type]


class ArrivingImage(SequentialImage):
    """An image whose layers arrive in a given order, and do not know what they are before they were read."""

    def __init__(self, tars: Sequence[bytes], order: Sequence[int]) -> None:
        super().__init__(REFERENCE, [Digest.of(tar) for tar in tars])
        self._tars, self._order = tars, order

    def arrivals(self) -> Iterator[Layer]:
        for number in self._order:
            tar = self._tars[number]
            yield TarLayer(-1, None, lambda tar=tar: io.BytesIO(tar))  # type: ignore[misc]
        self.found_config(ImageConfig.parse(sample_config(self._tars)))


def with_same_times(image: Image) -> Image:
    """Return the image as the filter that sets all times to the same makes it."""
    for each in open_filters(installed_plugins(), ['normalize-timestamps:ts=1'], Settings()):
        image = each.apply(image)
    return image


def tar_of_time(seconds: int) -> bytes:
    """Return a layer that differs from others of its kind in its times alone."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as tar:
        header = tarfile.TarInfo('file')
        header.size, header.mtime = 5, seconds
        tar.addfile(header, io.BytesIO(b'hello'))
    return target.getvalue()
