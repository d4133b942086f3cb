"""How a copy reads the layers of its image: straight from the source, if it goes to one destination."""
from collections.abc import Callable, Iterator

from occystrap_core.image.image import Content, Image
from occystrap_core.image.layer import Layer, ReadObservers
from occystrap_core.layers.recompression import SpooledLayer, spool
from occystrap_core.settings import Settings


class LayerReads:
    """Reads each layer for this copy alone."""

    shared = False
    """Whether others read the same image."""

    def begin(self, content: Content) -> None:
        """Called with the content that is copied, after filters, before its first layer is read."""

    def readable(self, layer: Layer) -> Layer:
        """Return the layer to open in place of `layer`."""
        return layer

    def arrivals(self, image: Image) -> Iterator[Layer]:
        """Yield the layers of a sequential image as they arrive."""
        return image.arrivals()

    def with_blob(self, layer: Layer, check: Callable[[int], None], observers: ReadObservers, compression: str,
                  settings: Settings) -> Layer:
        """Return the layer with a blob: its own, its source's if no filter changed it, or a compressed one.

        The arguments are those of `spool`.
        """
        if layer.descriptor:
            return self.readable(layer)
        spooled = self._spooled(layer, check, observers, compression, settings)
        source = layer.source
        assert spooled.descriptor
        other = source.descriptor and source.descriptor.digest != spooled.descriptor.digest
        if other and source.diff_id == spooled.diff_id:  # one filter undid what another had done
            self._drop(spooled)
            return self.readable(source)
        return spooled

    def done(self, layer: Layer, ready: Layer | None = None) -> None:
        """Called when a layer is at the destination, or has failed; `ready` is what was opened."""
        if ready is not None:
            self._drop(ready)

    def end(self) -> None:
        """Called when this destination needs no further layer."""

    def _spooled(self, layer: Layer, check: Callable[[int], None], observers: ReadObservers, compression: str,
                 settings: Settings) -> SpooledLayer:
        return spool(layer, check, observers, compression, settings)

    def _drop(self, ready: Layer) -> None:
        if isinstance(ready, SpooledLayer):
            ready.release()
