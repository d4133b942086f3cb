"""The layers of an image that goes to several destinations: each is read, filtered and compressed once."""
import threading
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator
from functools import partial
from typing import NamedTuple

from occystrap_core.errors import Cancelled
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.image.artifact import OpaqueBlob
from occystrap_core.image.image import Content, Image, all_contents
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers, StoredLayer, TarLayer
from occystrap_core.layers.layer_reads import LayerReads
from occystrap_core.layers.recompression import SpooledLayer, spool
from occystrap_core.layers.shared_arrivals import SharedArrivals
from occystrap_core.layers.shared_stream import SharedStreams, SharedStream
from occystrap_core.settings import Settings


class LayerOrigin(NamedTuple):
    """Identifies what a layer is read from; for results of filters and for layers of a stream, also the image."""

    source: Hashable
    within: int | None = None


class SharedLayers:
    """The layers of one image for all its destinations. A layer is kept until each destination has it, or has failed.
    """

    def __init__(self, settings: Settings, compression: str | None) -> None:
        """`compression` is that of a destination that takes blobs; None if none does."""
        self._settings, self._compression = settings, compression
        self._readings = settings.shared.get(SharedStreams, SharedStreams)
        self._lock = threading.RLock()
        self._held: dict[LayerOrigin, SharedStream] = {}
        self._made: dict[LayerOrigin, dict[str, SpooledLayer]] = {}
        self._making: dict[LayerOrigin, threading.Lock] = {}
        self._arriving: dict[int, SharedArrivals] = {}
        self._arrived: dict[int, LayerOrigin] = {}
        self._readers: list[SharedReads] = []

    def reads(self) -> 'SharedReads':
        """Return the reads of one more destination; called for all of them before the first begins."""
        reads = SharedReads(self)
        self._readers.append(reads)
        return reads

    def origin(self, layer: Layer) -> LayerOrigin:
        """Return what a layer is read from."""
        if found := self._arrived.get(id(layer)):
            return found
        source = layer.source
        known = source.descriptor.digest if source.descriptor else source.diff_id
        return LayerOrigin(known or id(source), None if known and layer is source else id(self))

    def readable(self, layer: Layer) -> Layer:
        """Return a layer like this one, which is read once for all destinations."""
        if id(layer) in self._arrived:
            return layer
        origin = self.origin(layer)
        with self._lock:
            if origin not in self._held:
                self._hold(origin, self._opener(layer))
        return _like(layer, partial(self._open, origin, layer))

    def arrivals(self, image: Image) -> Iterator[Layer]:
        """Yield the layers of a sequential image, for one destination; the first one to ask has the next one read."""
        with self._lock:
            arriving = self._arriving.setdefault(id(image), SharedArrivals(image, self._take_arrival))
        return arriving.layers()

    def blob(self, layer: Layer, compression: str) -> SpooledLayer:
        """Return a layer without a blob with the one that filters and compression make, made for the first to ask."""
        origin = self.origin(layer)
        with self._lock:
            making = self._making.setdefault(origin, threading.Lock())
        with making:
            made = self._made.setdefault(origin, {})
            if compression not in made:
                made[compression] = self._blob(layer, compression, next(iter(made.values()), None))
            return made[compression]

    def settle(self) -> None:
        """Free what no destination needs any more."""
        with self._lock:
            for origin in [each for each in self._held if not self._pending(each)]:
                del self._held[origin]
                self._readings.left(origin)
            for origin in [each for each in self._made if not self._pending(each)]:
                for blob in self._made.pop(origin).values():
                    blob.release()

    def _pending(self, origin: LayerOrigin) -> int:
        """Return how many destinations may still read a layer."""
        return sum(reader.may_read(origin) for reader in self._readers)

    def _hold(self, origin: LayerOrigin, opener: Callable[[], ByteStream]) -> SharedStream:
        reading = SharedStream(opener, self._settings.temporary, self._look)
        self._held[origin] = reading = self._readings.held(origin, reading)
        return reading

    def _open(self, origin: LayerOrigin, layer: Layer) -> Readable:
        """Open a layer: directly at its source if no other destination needs it."""
        with self._lock:
            reading = self._held.get(origin)
            if reading is None:
                raise Cancelled('interrupted')  # the copy has failed, and this is one of its threads
            unused = not reading.begun and origin not in self._made
            alone = unused and self._pending(origin) < 2 and not self._readings.is_shared(origin)
            if not alone and (layer.descriptor or self._compression is None):
                return reading.open()
        if not alone and self._compression:
            return self.blob(layer, self._compression).stored()
        return self._opener(layer)()

    def _opener(self, layer: Layer) -> Callable[[], ByteStream]:
        return layer.stored if layer.descriptor else layer.tar

    def _blob(self, layer: Layer, compression: str, other: SpooledLayer | None) -> SpooledLayer:
        """Compress a layer; `other` is the same layer with another compression, or with its source's blob."""
        read = layer
        if other:
            source = layer.source.descriptor
            if source and other.descriptor and other.descriptor.digest == source.digest:
                return other
            read = TarLayer(layer.index, other.diff_id, other.stored)
        made = spool(read, lambda count: self._look(), NO_OBSERVERS, compression, self._settings)
        made.original = layer
        return made

    def _take_arrival(self, image: Image, number: int, layer: Layer) -> Layer:
        """Read a layer that arrives, and return it in a form that can be read again."""
        origin = LayerOrigin(number, id(image))
        for reader in self._readers:
            reader.expect_arrival(image, origin)
        if layer.descriptor is None and layer is not layer.source and self._compression:
            made = self._made.setdefault(origin, {})
            made[self._compression] = blob = self._blob(layer, self._compression, None)
            kept = _like(layer, blob.stored)
        else:
            reading = self._hold(origin, self._opener(layer))
            reading.fill()
            kept = _like(layer, reading.open)
        self._arrived[id(kept)] = origin
        return kept

    def _look(self) -> None:
        """Raise if the run has stopped, or all destinations have."""
        self._settings.cancellation.check()
        if all(reader.ended for reader in self._readers):
            raise Cancelled('interrupted')


def _like(layer: Layer, opener: Callable[[], Readable]) -> Layer:
    """Return a layer with the properties of `layer` that opens another source of the same bytes, compressed or not."""
    like: Layer
    if layer.descriptor is None:
        like = TarLayer(layer.index, layer.diff_id, opener, layer.tar_size())
    elif isinstance(layer, OpaqueBlob):
        like = OpaqueBlob(layer.index, layer.descriptor, opener)
    else:
        assert layer.diff_id
        like = StoredLayer(layer.index, layer.descriptor, layer.diff_id, opener, layer.tar_size, layer.present_size)
    like.original = layer.original
    return like


class SharedReads(LayerReads):
    """The reads of one destination."""

    shared = True

    def __init__(self, layers: SharedLayers) -> None:
        self._layers = layers
        self._lock = threading.Lock()
        self._left: Counter[LayerOrigin] | None = None
        """How often each layer is still to be copied; None while the image is not opened."""
        self._arriving: Counter[LayerOrigin] = Counter()
        self._streams: Collection[int] = ()
        self.ended = False

    def may_read(self, origin: LayerOrigin) -> bool:
        """Return whether the destination still needs a layer, as far as that is known."""
        if self.ended:
            return False
        return self._left is None or self._left[origin] > 0 or self._arriving[origin] > 0

    def expect_arrival(self, image: Image, origin: LayerOrigin) -> None:
        """Count a layer of a sequential image that this destination will get."""
        with self._lock:
            self._arriving[origin] += self._left is None or id(image) in self._streams

    def begin(self, content: Content) -> None:
        """Count the layers of what this destination gets; layers of others are not kept for it."""
        images = [each for each in all_contents(content) if isinstance(each, Image)]
        with self._lock:
            self._streams = {id(image) for image in images if image.sequential}
            self._arriving = Counter({origin: count for origin, count in self._arriving.items()
                                      if origin.within in self._streams})
            self._left = Counter(self._layers.origin(layer) for image in images for layer in image.layers)
        self._layers.settle()

    def readable(self, layer: Layer) -> Layer:
        """Return a layer that is read once for all destinations, if others may need it."""
        return self._layers.readable(layer) if self.may_read(self._layers.origin(layer)) else layer

    def arrivals(self, image: Image) -> Iterator[Layer]:
        """Yield the layers of a sequential image; the first destination to ask has the next one read."""
        return self._layers.arrivals(image)

    def done(self, layer: Layer, ready: Layer | None = None) -> None:
        """Note that this destination does not need a layer any more."""
        if ready is not None and ready.note:
            layer.note = ready.note
        origin = self._layers.origin(layer)
        with self._lock:
            if self._left is not None:
                self._left[origin] -= 1
            self._arriving[origin] -= 1
        self._layers.settle()

    def end(self) -> None:
        """Free what only this destination still needed; always called at its end."""
        self.ended = True
        self._layers.settle()

    def _spooled(self, layer: Layer, check: Callable[[int], None], observers: ReadObservers, compression: str,
                 settings: Settings) -> SpooledLayer:
        made = self._layers.blob(layer, compression)
        if observers.moved:
            observers.moved(layer.stored_size)
        return made

    def _drop(self, ready: Layer) -> None:
        """Do nothing: others may read it."""
