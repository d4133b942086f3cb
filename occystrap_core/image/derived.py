"""Images and layers made from others: the same config and manifest, the layers seen through something."""
from collections.abc import Callable, Iterator, Sequence

from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.image.origin import Origin
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Manifest


class DerivedLayer(Layer):
    """A layer that is made from another and reads it."""

    original: Layer

    def __init__(self, original: Layer) -> None:
        self.original = original

    @property
    def index(self) -> int:  # type: ignore[override]
        """The original's place."""
        return self.original.index

    @property
    def differs(self) -> bool:  # type: ignore[override]
        """Whether the original does."""
        return self.original.differs

    def tar_size(self) -> int | None:
        """Return the original's size in bytes, which is this one's unless headers grow or entries go."""
        return self.original.tar_size()

    @property
    def stored_size(self) -> int:
        """Bytes that reading the original moves."""
        return self.original.stored_size


class DerivedImage(Image):
    """An image whose layers are made from another's, lazily. Its manifest is the other's, and but for what
    `change_config` does so is its config: where layers come out different, the pipeline makes new ones."""

    def __init__(self, original: Image, change: Callable[[Layer], Layer] = lambda layer: layer,
                 change_config: Callable[[ImageConfig], ImageConfig] = lambda config: config) -> None:
        """`change` is called once for each layer, for those of a sequential image as they arrive; `change_config`, when
        the config is known, must keep the diff_ids."""
        self._original, self._change, self._change_config = original, change, change_config
        self.reference, self.sequential = original.reference, original.sequential
        self._layers = tuple(change(layer) for layer in original.layers)

    @property
    def manifest(self) -> Manifest | None:  # type: ignore[override]
        """The original's manifest, which a sequential one may have at its end only."""
        return self._original.manifest

    @property
    def origin(self) -> Origin | None:  # type: ignore[override]
        """The original's."""
        return self._original.origin

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """The original's notes."""
        return self._original.notes

    @property
    def config(self) -> ImageConfig:
        """The original's config, or what is made of it."""
        return self._change_config(self._original.config)

    @property
    def source(self) -> Image:
        """The image as the input gave it, below all filters."""
        return self._original.source

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The original's diff_ids."""
        return self._original.diff_ids

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer as it arrives."""
        return (self._change(layer) for layer in self._original.arrivals())

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the original is closed."""
        self._original.on_close(callback)

    def on_copied(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the image that was made from this one, or this one, is in its place."""
        self._original.on_copied(callback)

    def copied(self) -> None:
        """Tell all who asked."""
        self._original.copied()

    def close(self) -> None:
        """Close the original."""
        self._original.close()
