"""Images that arrive in a stream: a daemon's export, whose layers and config come in the order of the daemon."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.image.origin import Origin
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference


class ReportedImage(NamedTuple):
    """What a service reports about an image without exporting its layers.

    `config` has the fields of a config that the service reports; the config's digest is unknown. `image_id` and
    `digest` may be None. `digests` are those of its manifests in registries, with the names there. `size`, and `sizes`
    of the steps of the history, are in bytes. `note` says what only an export would tell.
    """

    config: Mapping[str, Any]
    image_id: Digest | None
    digest: Digest | None
    digests: Sequence[str]
    size: int
    sizes: Sequence[int] = ()
    note: str = ''


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

    def note_origin(self, digest: Digest | None, platforms: Sequence[str] = ()) -> None:
        """Record what the name means at the source: a manifest, or an index with images for these platforms; None if
        the source does not know its digest."""
        self.origin = Origin(digest, tuple(platforms)) if digest else None

    def reported(self) -> ReportedImage | None:
        """Return what the source reports without exporting a layer; None if it reports nothing. Raises ServiceError."""
        return None

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer when its bytes arrive."""
        raise NotImplementedError

    def found_config(self, config: ImageConfig) -> None:
        """Take the config from the stream; raises InvalidImage if it lists other layers than `diff_ids`."""
        if config.diff_ids != self._diff_ids:
            raise InvalidImage(f'{self.reference}: the config in the stream lists other layers than expected')
        self._config = config
