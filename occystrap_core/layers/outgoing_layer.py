"""A layer on its way to a writer: in the form the writer takes, counted and hashed by the core."""
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Self

from occystrap_core.api.written_image import LayerForm, PlacedLayer, ResumedLayer, WrittenLayer
from occystrap_core.errors import PluginError, prefix_errors
from occystrap_core.files.held_bytes import HeldBytes
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.verification.expectation import Evidence


class LayerKey(NamedTuple):
    """The identity of a layer, before all filters."""

    tar: Digest | int
    """The diff_id at the source; the id of the source's layer object if it has none yet."""
    blob: Digest | None = None
    """The digest of the source's blob, if the writer takes blobs."""

    @classmethod
    def of(cls, layer: Layer, by_blob: bool) -> Self:
        """Return the key of a layer; with `by_blob` the source's blob, if it has one, is part of it."""
        blob = layer.source.descriptor if by_blob else None
        return cls(layer.source.diff_id or id(layer.source), blob.digest if blob else None)


class Outgoing:
    """The argument of a writer's `has_layer` and `write_layer`: see image_output.OutgoingLayer."""

    def __init__(self, layer: Layer, form: LayerForm, observer: Callable[[int], None],
                 observers: ReadObservers = NO_OBSERVERS, ahead: bool = False) -> None:
        """`observer` is called with the number of bytes of each read, and stops the stream by raising; `observers` are
        those of the source. `ahead`: a tar is read ahead."""
        self._layer, self._form, self._observer, self._ahead = layer, form, observer, ahead
        self._observers = observers
        self._stream: ByteStream | None = None
        self._held: HeldBytes | None = None

    @property
    def index(self) -> int:
        """The position in the image, -1 while unknown."""
        return self._layer.index

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the tar, None while unknown."""
        return self._layer.diff_id

    @property
    def descriptor(self) -> Descriptor | None:
        """The blob, in STORED form."""
        return self._layer.descriptor if self._form is LayerForm.STORED else None

    @property
    def source_blob(self) -> Descriptor | None:
        """The blob that is read at the source."""
        return None if self.filtered else self._layer.descriptor

    @property
    def filtered(self) -> bool:
        """Whether a filter may change the layer."""
        return self._layer is not self._layer.source

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes."""
        return self._layer.tar_size()

    def open(self, held: HeldBytes | None = None) -> ByteStream:
        """Open the layer; the stream opened last counts."""
        self._held = held
        if held:
            held.begin()
        if self._form is LayerForm.STORED:
            self._stream = self._layer.stored(self._observers._replace(held=held))
            if held:
                self._stream.tee(held.write)
        else:
            observers = self._observers._replace(held=held, kept=held.write) if held else self._observers
            self._stream = (self._layer.tar_ahead if self._ahead else self._layer.tar)(observers)
        self._stream.observe(self._observer)
        return self._stream

    def close(self) -> None:
        """Close what a failed writer may have left open."""
        if self._stream is not None:
            self._stream.close()

    def placed(self, written: WrittenLayer) -> PlacedLayer:
        """Return the placed layer, with digest and size as the core saw them, or else as the writer found them.

        Raises PluginError if neither is known, or the writer found another layer.
        """
        name = self.diff_id or self.index
        if not isinstance(written, WrittenLayer):
            raise PluginError(f'the writer returned {written!r} for layer {name}, expected a WrittenLayer')
        if self._stream is not None and self._stream.ended:
            resumed = self._held.reused if self._held else 0
            return self._place(written.locator, self._stream.digest, self._stream.size, Evidence.STREAMED, resumed)
        if written.digest is None or written.size is None:
            raise PluginError(f'the writer did not read layer {name} to its end')
        if written.digest != (self.descriptor.digest if self.descriptor else self.diff_id):
            raise PluginError(f'the writer says that layer {name} is there with another digest, {written.digest}')
        blob = self._layer.source.descriptor
        reused = blob.size if written.kept and blob else 0
        return self._place(written.locator, written.digest, written.size, written.evidence, reused)

    def _place(self, locator: str, digest: Digest, size: int, evidence: Evidence, reused: int) -> PlacedLayer:
        diff_id = digest if self._form is LayerForm.TAR else self._layer.diff_id
        assert diff_id is not None
        blob = self._layer.source.descriptor
        resumed = ResumedLayer(blob, reused) if blob and reused else None
        return PlacedLayer(self._layer.index, diff_id, self.descriptor, locator, digest, size, evidence, resumed)


def naming_layer(layer: Layer) -> AbstractContextManager[None]:
    """Prefix what a reader or a writer refuses in a layer with its digest."""
    source = layer.source
    digest = source.descriptor.digest if source.descriptor else source.diff_id
    return prefix_errors(f'layer {digest or source.index}')
