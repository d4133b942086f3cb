"""The sample image with a layer that breaks off, or during which something else happens."""
import threading
from collections.abc import Callable
from functools import partial

from occystrap_core.errors import Cancelled, ServiceUnavailable
from occystrap_core.files.stream import Readable
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, StoredLayer
from occystrap_core.testing.sample import sample_image

PATIENCE = 5.0
"""Seconds after which nothing is waited for any more, such as for a run that seems to wait for another."""


def breaking_image(number: int, error: type[BaseException] | None) -> Image:
    """Return the sample image whose layer with this number ends early: by an error, or without one."""
    return sample_image_with(number, partial(_Breaking, error))


def sample_image_with(number: int, opener: Callable[[bytes], Readable]) -> Image:
    """Return the sample image with another way to open the blob of the layer with this number, given its bytes."""
    image = sample_image()
    layers: list[Layer] = []
    for layer in image.layers:
        assert isinstance(layer, StoredLayer) and layer.descriptor and layer.diff_id
        with layer.stored() as stream:
            blob = b''.join(bytes(chunk) for chunk in stream.chunks())
        other = StoredLayer(layer.index, layer.descriptor, layer.diff_id, partial(opener, blob))
        layers.append(other if layer.index == number else layer)
    return Image(image.reference, image.config, layers, image.manifest)


class _Breaking:
    """Returns the first half of some bytes, then raises an error or ends."""

    def __init__(self, error: type[BaseException] | None, blob: bytes) -> None:
        self._rest, self._error = memoryview(blob)[:len(blob) // 2], error

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._rest and self._error:
            raise self._error('this layer fails, for a test')
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""


class Meanwhile:
    """Some bytes; when half of them have been read, another thread does its work."""

    def __init__(self, other: threading.Thread, content: bytes) -> None:
        self._other, self._rest, self._half = other, memoryview(content), len(content) // 2

    def readinto(self, buffer: memoryview, /) -> int:
        ahead = len(self._rest) - self._half
        if ahead <= 0 and self._other.ident is None:
            self._other.start()
            self._other.join(PATIENCE)
        count = min(len(buffer), ahead if ahead > 0 else len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""


class Broken(Meanwhile):
    """The first half of some bytes; then another thread does its work, and reading fails."""

    def readinto(self, buffer: memoryview, /) -> int:
        count = super().readinto(buffer)
        if self._other.ident is not None:
            raise ServiceUnavailable('this layer fails, for a test')
        return count


class Hanging:
    """The first half of some bytes; then reading waits, and fails as after a signal."""

    def __init__(self, hangs: threading.Event, goes_on: threading.Event, content: bytes) -> None:
        self._hangs, self._goes_on, self._rest = hangs, goes_on, memoryview(content)[:len(content) // 2]

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._rest:
            self._hangs.set()
            self._goes_on.wait(PATIENCE)
            raise Cancelled('interrupted')
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""
