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
    from occystrap_core.image.image_index import Attached


class Image:
    """One image of one platform; opening it has read metadata only. Close it, best by a with statement."""

    sequential = False
    """True where layers can only be had one after the other, as they arrive; then `arrivals` is the way."""
    attached: Sequence['Attached'] = ()
    """What is to be copied with it, such as signatures."""
    notes: Sequence[str] = ()
    """Lines for people about what was left out on purpose."""
    origin: Origin | None = None
    """What its name meant at the source: its manifest, or an index that it was taken from; None where neither is kept.
    """

    at_destination: Callable[[Digest], int | None] | None = None
    """Set before `arrivals` where blobs go as they are to a destination that can be asked for them: tells the size in
    bytes of what it has. A layer that it has need not be brought, only be told of; its blob cannot be opened then."""

    def __init__(self, reference: Reference, config: ImageConfig, layers: Sequence[Layer],
                 manifest: Manifest | None = None) -> None:
        """`manifest` is None where the source keeps none (docker archive, daemon); layers are in order, lowest first.

        Raises InvalidImage when the numbers of layers in manifest, config and `layers` differ.
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
        """The config; a sequential source may know it only when the last layer has arrived."""
        assert self._config is not None
        return self._config

    @property
    def platform(self) -> Platform | None:
        """What it runs on; None for a sequential image whose source does not tell before the config has come."""
        return self.config.platform

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' tars, lowest first; known from the start, of a sequential image too."""
        return self.config.diff_ids

    @property
    def source(self) -> 'Image':
        """The image as the input gave it, below all filters."""
        return self

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, lowest first; a sequential image has none before they arrive."""
        return self._layers

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers in the order in which they are best read; each must be read before the next is asked for.

        The layers of a sequential image may know their diff_id and index only when their tar was read to its end.
        """
        return iter(self._layers)

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the image is closed, the last one given first."""
        self._closing.callback(callback)

    def on_copied(self, callback: Callable[[], object]) -> None:
        """Call `callback` when all of the image is in its place at a destination; never after a failure."""
        self._on_copied.append(callback)

    def copied(self) -> None:
        """Tell all who asked, the first first."""
        for callback in self._on_copied:
            callback()

    def close(self) -> None:
        """Let go of files and connections."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


class SequentialImage(Image):
    """An image whose layers arrive in a stream, in an order that its source decides, its config somewhere between."""

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
        """The config; raises InvalidImage when the stream has ended without one."""
        if self._config is None:
            raise InvalidImage(f'{self.reference} came without its config')
        return self._config

    @property
    def platform(self) -> Platform | None:
        """What the source said that it runs on, if it did."""
        return self._platform

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' tars, lowest first."""
        return self._diff_ids

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer as its bytes arrive."""
        raise NotImplementedError

    def found_config(self, config: ImageConfig) -> None:
        """Take the config that came in the stream; raises InvalidImage when it lists other layers than promised."""
        if config.diff_ids != self._diff_ids:
            raise InvalidImage(f'{self.reference}: the config in the stream lists other layers than were promised')
        self._config = config
