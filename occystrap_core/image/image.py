"""Images: lazy values with a manifest, a config and layers."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from occystrap_core.errors import InvalidImage
from occystrap_core.image.layer import Layer
from occystrap_core.image.origin import Origin
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Manifest
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference

if TYPE_CHECKING:
    from occystrap_core.image.image_index import Referrer


class Image:
    """One image of one platform, of which only metadata has been read. Close it, best by a with statement."""

    sequential = False
    """True if layers can only be read one after the other, as they arrive, from `arrivals`."""
    referrers: Sequence['Referrer'] = ()
    """Signatures and other referrers to copy with the image."""
    notes: Sequence[str] = ()
    """Lines for the user about what was left out on purpose."""
    origin: Origin | None = None
    """The manifest that the image's name refers to at the source, or the index that contains the image; None if the
    source has neither."""

    at_destination: Callable[[Digest], int | None] | None = None
    """Set before `arrivals` if blobs go unchanged to a destination that can be asked for them: returns the size in
    bytes of a blob there, None if it is missing. The source may then give such a layer without its blob, which cannot
    be opened."""

    def __init__(self, reference: Reference, config: ImageConfig, layers: Sequence[Layer],
                 manifest: Manifest | None = None) -> None:
        """`manifest` is None if the source has none (docker archive, daemon); layers are in order, lowest first.

        Raises InvalidImage if the numbers of layers in manifest, config and `layers` differ.
        """
        count = len(manifest.layers) if manifest else len(layers)
        if len({len(layers), len(config.diff_ids), count}) > 1:
            raise InvalidImage(f'{reference} has {count} layers, but its config lists {len(config.diff_ids)}',
                               'layer-count')
        self.reference, self.manifest = reference, manifest
        self._config: ImageConfig | None = config
        self._layers = tuple(layers)
        self._closing = ExitStack()
        self._on_copied: list[Callable[[], object]] = []

    @property
    def config(self) -> ImageConfig:
        """The config; of a sequential image it may be known only after the last layer."""
        assert self._config is not None
        return self._config

    @property
    def platform(self) -> Platform | None:
        """The platform; None for a sequential image if it is unknown until the config arrives."""
        return self.config.platform

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' tars, lowest first; known from the start, also of a sequential image."""
        return self.config.diff_ids

    @property
    def source(self) -> 'Image':
        """The image as the input returned it, before all filters."""
        return self

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, lowest first; empty for a sequential image."""
        return self._layers

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers in the best order for reading; read each before asking for the next.

        Layers of a sequential image may know their diff_id and index only after their tar was read to its end.
        """
        return iter(self._layers)

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the image is closed, the last added first."""
        self._closing.callback(callback)

    def on_copied(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the whole image is at its destination; never after a failure."""
        self._on_copied.append(callback)

    def copied(self) -> None:
        """Call all callbacks of `on_copied`, the first added first."""
        for callback in self._on_copied:
            callback()

    def close(self) -> None:
        """Close files and connections."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


class SequentialImage(Image):
    """An image whose layers arrive in a stream, in an order that the source decides, with its config among them."""

    sequential = True

    def __init__(self, reference: Reference, diff_ids: Sequence[Digest], platform: Platform | None = None) -> None:
        """`diff_ids` are known beforehand, `platform` may be. A subclass yields the layers and calls `found_config`."""
        self._platform = platform
        self.reference, self.manifest = reference, None
        self._config, self._layers, self._diff_ids = None, (), tuple(diff_ids)
        self._closing = ExitStack()
        self._on_copied = []

    @property
    def config(self) -> ImageConfig:
        """The config; raises InvalidImage if the stream ended without one."""
        if self._config is None:
            raise InvalidImage(f'{self.reference} arrived without its config')
        return self._config

    @property
    def platform(self) -> Platform | None:
        """The platform according to the source, if it has one."""
        return self._platform

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' tars, lowest first."""
        return self._diff_ids

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer when its bytes arrive."""
        raise NotImplementedError

    def found_config(self, config: ImageConfig) -> None:
        """Take the config from the stream; raises InvalidImage if it lists other layers than `diff_ids`."""
        if config.diff_ids != self._diff_ids:
            raise InvalidImage(f'{self.reference}: the config in the stream lists other layers than expected')
        self._config = config
