"""Images and layers derived from others: config and manifest of the original, layers that read the original's."""
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
        """The original's position."""
        return self.original.index

    @property
    def differs(self) -> bool:  # type: ignore[override]
        """Whether the original's tar differs from its source's."""
        return self.original.differs

    def tar_size(self) -> int | None:
        """Return the original's size in bytes; this layer's is the same unless headers grow or entries are left out."""
        return self.original.tar_size()

    @property
    def stored_size(self) -> int:
        """Bytes to read for the original."""
        return self.original.stored_size


class DerivedImage(Image):
    """An image whose layers are derived from another's, lazily. Its manifest is the original's, and its config is,
    apart from `change_config`. If layers change, the pipeline makes a new manifest and config."""

    def __init__(self, original: Image, change: Callable[[Layer], Layer] = lambda layer: layer,
                 change_config: Callable[[ImageConfig], ImageConfig] = lambda config: config) -> None:
        """`change` is called once for each layer; for those of a sequential image when they arrive. `change_config` is
        called when the config is known and must keep the diff_ids."""
        self._original, self._change, self._change_config = original, change, change_config
        self.reference, self.sequential = original.reference, original.sequential
        self._layers = tuple(change(layer) for layer in original.layers)

    @property
    def manifest(self) -> Manifest | None:  # type: ignore[override]
        """The original's manifest; of a sequential image it may be known only at the end."""
        return self._original.manifest

    @property
    def origin(self) -> Origin | None:  # type: ignore[override]
        """The original's origin."""
        return self._original.origin

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        """The original's notes."""
        return self._original.notes

    @property
    def config(self) -> ImageConfig:
        """The original's config, after `change_config`."""
        return self._change_config(self._original.config)

    @property
    def source(self) -> Image:
        """The image as the input returned it, before all filters."""
        return self._original.source

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The original's diff_ids."""
        return self._original.diff_ids

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer when it arrives."""
        return (self._change(layer) for layer in self._original.arrivals())

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the original is closed."""
        self._original.on_close(callback)

    def on_copied(self, callback: Callable[[], object]) -> None:
        """Call `callback` when this image, or an image derived from it, is at its destination."""
        self._original.on_copied(callback)

    def copied(self) -> None:
        """Call all callbacks of `on_copied`."""
        self._original.copied()

    def close(self) -> None:
        """Close the original."""
        self._original.close()
