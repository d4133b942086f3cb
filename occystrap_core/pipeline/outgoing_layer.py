"""A layer on its way to a writer: in the form that it wants, counted and hashed by the core."""
from collections.abc import Callable

from occystrap_core.api.image_output import LayerForm, PlacedLayer, WrittenLayer
from occystrap_core.errors import PluginError
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.verification.receipt import Evidence


class Outgoing:
    """What a writer's `has_layer` and `write_layer` get: see image_output.OutgoingLayer."""

    def __init__(self, layer: Layer, form: LayerForm, observer: Callable[[int], None],
                 observers: ReadObservers = NO_OBSERVERS, ahead: bool = False) -> None:
        """`observer` gets the number of all bytes that pass, and stops the stream by raising; `observers` are those of
        the source. `ahead`: a tar is read ahead."""
        self._layer, self._form, self._observer, self._ahead = layer, form, observer, ahead
        self._observers = observers
        self._stream: ByteStream | None = None

    @property
    def index(self) -> int:
        """The place in the image, -1 while unknown."""
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
    def filtered(self) -> bool:
        """Whether a filter may change it."""
        return self._layer is not self._layer.source

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes."""
        return self._layer.tar_size()

    def open(self) -> ByteStream:
        """Open the layer; the last stream opened is the one that counts."""
        if self._form is LayerForm.STORED:
            self._stream = self._layer.stored(self._observers)
        else:
            self._stream = (self._layer.tar_ahead if self._ahead else self._layer.tar)(self._observers)
        self._stream.observe(self._observer)
        return self._stream

    def close(self) -> None:
        """Close what a writer that failed may have left open."""
        if self._stream is not None:
            self._stream.close()

    def placed(self, written: WrittenLayer) -> PlacedLayer:
        """Return the layer in its place, with what the core saw of it, or else what the writer found there already.

        Raises PluginError when neither tells, or the writer found something else than this layer.
        """
        name = self.diff_id or self.index
        if not isinstance(written, WrittenLayer):
            raise PluginError(f'the writer returned {written!r} for layer {name}, a WrittenLayer is expected')
        if self._stream is not None and self._stream.ended:
            return self._place(written.locator, self._stream.digest, self._stream.size, Evidence.STREAMED)
        if written.digest is None or written.size is None:
            raise PluginError(f'the writer did not read layer {name} to its end')
        if written.digest != (self.descriptor.digest if self.descriptor else self.diff_id):
            raise PluginError(f'the writer says that layer {name} is there with another digest, {written.digest}')
        return self._place(written.locator, written.digest, written.size, written.evidence)

    def _place(self, locator: str, digest: Digest, size: int, evidence: Evidence) -> PlacedLayer:
        diff_id = digest if self._form is LayerForm.TAR else self._layer.diff_id
        assert diff_id is not None
        return PlacedLayer(self._layer.index, diff_id, self.descriptor, locator, digest, size, evidence)
