"""Layers in order, the lowest first, in whatever order their source gives them."""
from collections.abc import Callable, Generator, Iterator

from occystrap_core.files.temporary_file import TemporaryFile
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, TarLayer
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import Settings


def _arrivals(image: Image) -> Iterator[Layer]:
    return image.arrivals()


def ordered_layers(image: Image, settings: Settings, arrivals: Callable[[Image], Iterator[Layer]] = _arrivals,
                   ) -> Generator[Layer, None, None]:
    """Yield the layers of an image, the lowest first; read each before asking for the next.

    Layers of a sequential image, which `arrivals` yields, wait in unnamed temporary files if they come too early; these
    are deleted when this is closed.
    """
    if not image.sequential:
        yield from image.layers
        return
    waiting = _Waiting(image, settings)
    try:
        for layer in arrivals(image):
            if waiting.is_next(layer):
                yield layer
                waiting.passed += 1
            else:
                waiting.add(layer)
            yield from waiting.ready()
    finally:
        waiting.close()


class _Waiting:
    """The layers of a sequential image that arrived too early."""

    def __init__(self, image: Image, settings: Settings) -> None:
        self._order, self._settings = image.diff_ids, settings
        self.passed = 0
        """The number of layers already handed over."""
        self._files: dict[Digest, tuple[TemporaryFile, Digest]] = {}

    @property
    def next_diff_id(self) -> Digest | None:
        """The diff_id, at the source, of the next layer; None after the last."""
        return self._order[self.passed] if self.passed < len(self._order) else None

    def is_next(self, layer: Layer) -> bool:
        """Return whether a layer may be handed over as it arrives: it is the next one, and is not listed again."""
        diff_id = layer.source.diff_id
        return diff_id is not None and diff_id == self.next_diff_id and self._order.count(diff_id) == 1

    def add(self, layer: Layer) -> None:
        """Read a layer, after its filters, into a file."""
        with layer.tar() as stream:
            stream.observe(lambda count: self._settings.cancellation.check())
            file = TemporaryFile.holding(stream.chunks(), self._settings.temporary)
        assert layer.source.diff_id
        self._files[layer.source.diff_id] = file, stream.digest

    def ready(self) -> Generator[Layer, None, None]:
        """Yield the layers that are next; one that is listed twice is kept for the second time."""
        while (diff_id := self.next_diff_id) in self._files:
            assert diff_id
            file, digest = self._files[diff_id]
            yield _SpooledTar(self.passed, diff_id, digest, file)
            self.passed += 1

    def close(self) -> None:
        """Free the disk space."""
        for file, _ in self._files.values():
            file.close()


class _SpooledTar(TarLayer):
    """A tar in a temporary file, in place of the source's layer."""

    def __init__(self, index: int, origin: Digest, diff_id: Digest, file: TemporaryFile) -> None:
        super().__init__(index, diff_id, file.reopened)
        self._origin = TarLayer(index, origin, file.reopened)

    @property
    def source(self) -> Layer:
        """A layer with the diff_id at the source."""
        return self._origin
