"""A layer on its way to a writer: in the form that it wants, counted and hashed by the core."""
from collections.abc import Callable

from occystrap_core.errors import PluginError
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import ByteStream
from occystrap_core.image_output import LayerForm, PlacedLayer, WrittenLayer
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.verification.receipt import Evidence


class Outgoing:
    """What a writer's `has_layer` and `write_layer` get: see image_output.OutgoingLayer."""

    def __init__(self, layer: Layer, form: LayerForm, observer: Callable[[int], None]) -> None:
        """`observer` hears of all bytes that pass, and stops the stream by raising."""
        self._layer, self._form, self._observer = layer, form, observer
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

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes."""
        return self._layer.tar_size()

    def open(self) -> ByteStream:
        """Open the layer; the last stream opened is the one that counts."""
        self._stream = self._layer.stored() if self._form is LayerForm.STORED else self._layer.tar()
        self._stream.observe(self._observer)
        return self._stream

    def placed(self, written: WrittenLayer) -> PlacedLayer:
        """Return the layer in its place, with what the core saw of it, or what the writer found there already."""
        if written.digest is not None and written.size is not None:
            return self._place(written.locator, written.digest, written.size, written.evidence)
        if self._stream is None or not self._stream.ended:
            raise PluginError(f'the writer did not read layer {self.diff_id or self.index} to its end')
        return self._place(written.locator, self._stream.digest, self._stream.size, Evidence.STREAMED)

    def _place(self, locator: str, digest: Digest, size: int, evidence: Evidence) -> PlacedLayer:
        diff_id = digest if self._form is LayerForm.TAR else self._layer.diff_id
        assert diff_id is not None
        return PlacedLayer(self._layer.index, diff_id, self.descriptor, locator, digest, size, evidence)
