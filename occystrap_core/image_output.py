"""The contract of a writer."""
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from occystrap_core.image.image import Image
from occystrap_core.image.stream import ByteStream
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.uri import Location
from occystrap_core.verification.receipt import Evidence, Expectation, Receipt


class LayerForm(Enum):
    """The form in which a writer wants layers."""

    STORED = 'stored'
    TAR = 'tar'


class OutgoingLayer(Protocol):
    """A layer as a writer sees it: in the form it wants, counted and hashed by the core while it is read."""

    @property
    def index(self) -> int:
        """The place in the image, 0 the lowest; -1 while that is not known."""

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the tar, None while only reading can tell."""

    @property
    def descriptor(self) -> Descriptor | None:
        """The blob that `open` gives, always there in STORED form; None in TAR form."""

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes, None without one."""

    def open(self) -> ByteStream:
        """Open the layer from its first byte; a writer that sends again opens again. Close it after use."""


@dataclass(frozen=True)
class WrittenLayer:
    """What a writer says of a layer: where it is, and nothing about its bytes unless it checked them itself.

    `size` and `digest` are given by `has_layer` alone, of what is there; the core fills them in for what it streamed.
    """

    locator: str
    digest: Digest | None = None
    size: int | None = None
    evidence: Evidence = Evidence.DESCRIPTOR


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of a written image: digest and size are of the bytes at `locator`, in the writer's form."""

    index: int
    diff_id: Digest
    descriptor: Descriptor | None
    locator: str
    digest: Digest
    size: int
    evidence: Evidence


@dataclass(frozen=True)
class WrittenImage:
    """An image whose layers are all in place: what `finalize` gets.

    `manifest` is the source's, byte for byte, where no layer changed, a new one where one did or the source has none;
    None for writers of TAR form whose source has none. `config` holds the bytes that must be written.
    """

    reference: Reference
    source: str
    manifest: Manifest | None
    config: ImageConfig
    layers: Sequence[PlacedLayer] = field(default_factory=tuple)

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                layer_kind: str = 'layer', locate: Callable[[PlacedLayer], str] = lambda layer: layer.locator,
                ) -> Receipt:
        """Return the receipt: `documents` as the writer made them, then each layer as the core saw it."""
        layers = [Expectation(layer_kind, locate(layer), layer.digest, layer.size, layer.evidence)
                  for layer in self.layers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.config.digest, tuple(self.config.diff_ids),
                       tuple(dict.fromkeys([*documents, *layers])), self.manifest.digest if self.manifest else None)


class ImageOutput(ABC):
    """Writes one image to one location.

    The core calls `prepare`, then `has_layer` and `write_layer` for several layers at once on its own threads, then
    `finalize` once; or `abort` after an error or a signal. A writer starts no threads for layers, draws no progress,
    compresses nothing and changes no config. Nothing it writes may be visible at its final name before it is whole.
    """

    wants = LayerForm.TAR
    """The form of layers that it takes; may be set in __init__ from options."""
    compression = 'gzip'
    """For STORED: the key of COMPRESSIONS with which the core compresses a layer that has no blob."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    def prepare(self, image: Image) -> None:
        """Look before anything is read whether the image can be written here; raises OutputError if not."""

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return where the layer already is, having checked that it is whole, with its size; None to be given it."""
        return None

    @abstractmethod
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write what `layer.open()` gives, to its end, and return where it is; raises OutputError, ServiceError."""

    @abstractmethod
    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, make all visible, and return the receipt."""

    def abort(self) -> None:
        """Remove everything temporary; called after an error or a signal, perhaps while threads still write."""
