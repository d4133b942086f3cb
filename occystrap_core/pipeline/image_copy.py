"""Copying one image: its layers in parallel or as they arrive, its config, its manifest; all or nothing."""
from collections.abc import Callable, Sequence
from dataclasses import replace

from occystrap_core.errors import InvalidImage
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.image_output import ImageOutput, LayerForm, PlacedLayer, WrittenImage
from occystrap_core.pipeline.documents import resulting_config, resulting_manifest
from occystrap_core.pipeline.layer_threads import LayerThreads
from occystrap_core.pipeline.outgoing import Outgoing
from occystrap_core.pipeline.spooling import SpooledLayer, spool
from occystrap_core.settings import Cancellation, Settings
from occystrap_core.verification.receipt import Receipt


class ImageCopy:
    """Moves one image into one output. After `run` the image is there whole, or, if it raised, nothing is."""

    def __init__(self, image: Image, output: ImageOutput, settings: Settings, source: str,
                 progress: Callable[[int], None] = lambda count: None) -> None:
        """`source` is the URI to keep in the receipt; `progress` hears of the bytes that pass."""
        self._image, self._output, self._settings, self._source = image, output, settings, source
        self._progress = progress
        self._stopped = Cancellation()
        self._placed: dict[object, PlacedLayer] = {}
        self.layers: Sequence[PlacedLayer] = ()

    def run(self) -> Receipt:
        """Copy and return the receipt; raises what went wrong first, after the output has been aborted."""
        try:
            self._output.prepare(self._image)
            if self._image.sequential:
                self._copy_arrivals()
            else:
                self._copy_in_parallel()
            self.layers = self._in_order()
            return self._output.finalize(self._written())
        except BaseException:
            self._stopped.cancel()
            self._output.abort()
            raise

    def _copy_in_parallel(self) -> None:
        """Copy the largest first, so that no long one is left for the end; a layer listed twice is copied once."""
        distinct = {_identity(layer): layer for layer in self._image.layers}
        ordered = sorted(distinct.values(), key=lambda layer: -layer.stored_size)
        threads = LayerThreads(self._copy, self._settings.jobs, self._stopped.cancel)
        for layer, placed in threads.run(ordered):
            self._placed[_identity(layer)] = placed

    def _copy_arrivals(self) -> None:
        for layer in self._image.arrivals():
            placed = self._copy(layer)[1]
            self._placed[_identity(layer)] = placed

    def _copy(self, layer: Layer) -> tuple[Layer, PlacedLayer]:
        """Put one layer in its place, unless it is there."""
        self._observe(0)
        stored = self._output.wants is LayerForm.STORED
        ready = self._with_blob(layer) if stored else layer
        try:
            outgoing = Outgoing(ready, self._output.wants, self._observe)
            known = outgoing.descriptor if stored else outgoing.diff_id
            written = self._output.has_layer(outgoing) if known else None
            placed = outgoing.placed(written or self._output.write_layer(outgoing))
        finally:
            if isinstance(ready, SpooledLayer):
                ready.release()
        return layer, placed

    def _with_blob(self, layer: Layer) -> Layer:
        """Return the layer with a blob: its own, or its original's if no filter changed it, or a compressed one."""
        if layer.descriptor:
            return layer
        with layer.tar() as tar:
            tar.observe(self._observe)
            spooled = spool(layer, tar, self._output.compression, self._settings)
        source = layer.source
        if source.descriptor and source.diff_id == spooled.diff_id:
            spooled.release()
            return source
        return spooled

    def _in_order(self) -> list[PlacedLayer]:
        """Return a placed layer for each of the image's; a sequential image's are found by their source's diff_id."""
        if self._image.sequential:
            keys: list[object] = list(self._image.diff_ids)
        else:
            keys = [_identity(layer) for layer in self._image.layers]
        if missing := [str(key) for key in keys if key not in self._placed]:
            raise InvalidImage(f'{self._image.reference}: the source did not give layer {", ".join(missing)}')
        return [replace(self._placed[key], index=index) for index, key in enumerate(keys)]

    def _written(self) -> WrittenImage:
        config = resulting_config(self._image, self.layers)
        manifest = resulting_manifest(self._image, config, self.layers)
        return WrittenImage(self._image.reference, self._source, manifest, config, self.layers)

    def _observe(self, count: int) -> None:
        self._settings.cancellation.check()
        self._stopped.check()
        self._progress(count)


def _identity(layer: Layer) -> object:
    """Return what makes two layers of one image the same: the diff_id below all filters."""
    return layer.source.diff_id or id(layer.source)
