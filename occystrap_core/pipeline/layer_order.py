"""Layers from the lowest up, whatever the order in which their source gives them."""
from collections.abc import Generator

from occystrap_core.files.temporary_file import TemporaryFile
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, TarLayer
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import Settings


def ordered_layers(image: Image, settings: Settings) -> Generator[Layer, None, None]:
    """Yield the layers of an image, the lowest first; each is to be read before the next is asked for.

    Those of a sequential image that come before their turn wait in unnamed temporary files, gone when this is closed.
    """
    if not image.sequential:
        yield from image.layers
        return
    waiting = _Waiting(image, settings)
    try:
        for layer in image.arrivals():
            if waiting.has_come_in_turn(layer):
                yield layer
                waiting.passed += 1
            else:
                waiting.add(layer)
            yield from waiting.ready()
    finally:
        waiting.close()


class _Waiting:
    """The layers of a sequential image that came too early."""

    def __init__(self, image: Image, settings: Settings) -> None:
        self._order, self._settings = image.diff_ids, settings
        self.passed = 0
        """How many layers have been handed over."""
        self._files: dict[Digest, tuple[TemporaryFile, Digest]] = {}

    @property
    def wanted(self) -> Digest | None:
        """The diff_id, as the source has it, of the layer whose turn it is."""
        return self._order[self.passed] if self.passed < len(self._order) else None

    def has_come_in_turn(self, layer: Layer) -> bool:
        """Tell whether a layer may be handed over as it arrives, being wanted now and never again."""
        diff_id = layer.source.diff_id
        return diff_id is not None and diff_id == self.wanted and self._order.count(diff_id) == 1

    def add(self, layer: Layer) -> None:
        """Read a layer, filtered as it is to be written, into a file."""
        with layer.tar() as stream:
            stream.observe(lambda count: self._settings.cancellation.check())
            file = TemporaryFile.holding(stream.chunks(), self._settings.temporary)
        assert layer.source.diff_id
        self._files[layer.source.diff_id] = file, stream.digest

    def ready(self) -> Generator[Layer, None, None]:
        """Yield the layers whose turn has come; one that is listed twice is kept for the second time."""
        while (wanted := self.wanted) in self._files:
            assert wanted
            file, digest = self._files[wanted]
            yield _SpooledTar(self.passed, wanted, digest, file)
            self.passed += 1

    def close(self) -> None:
        """Give the disk space back."""
        for file, _ in self._files.values():
            file.close()


class _SpooledTar(TarLayer):
    """A tar in a temporary file, in the place of the source's layer of another or the same digest."""

    def __init__(self, index: int, origin: Digest, diff_id: Digest, file: TemporaryFile) -> None:
        super().__init__(index, diff_id, file.reopened)
        self._origin = TarLayer(index, origin, file.reopened)

    @property
    def source(self) -> Layer:
        """A layer with the diff_id that the source gives."""
        return self._origin
