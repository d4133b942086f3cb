"""Copying one image: its layers in parallel or as they arrive, its config, its manifest; all or nothing."""
from collections.abc import Callable, Sequence
from dataclasses import replace

from occystrap_core.errors import InvalidImage, PluginError
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
            return self._finalized(self._written())
        except BaseException as error:
            self._stopped.cancel()
            self._abort(error)
            raise

    def _finalized(self, written: WrittenImage) -> Receipt:
        receipt = self._output.finalize(written)
        if not isinstance(receipt, Receipt):
            raise PluginError(f'{type(self._output).__name__}.finalize returned {receipt!r}, a Receipt is wanted')
        return receipt

    def _abort(self, reason: BaseException) -> None:
        """Have the writer clean up, again if a signal breaks into that; a failure there is added to the reason."""
        try:
            self._output.abort()
        except Exception as error:
            reason.add_note(f'what is temporary could not be removed: {error}')
        except BaseException:
            self._output.abort()
            raise

    def _copy_in_parallel(self) -> None:
        """Copy the largest first, so that no long one is left for the end; a layer listed twice is copied once."""
        distinct = {self._identity(layer): layer for layer in self._image.layers}
        ordered = sorted(distinct.values(), key=lambda layer: -layer.stored_size)
        threads = LayerThreads(self._copy, self._settings.jobs, self._stopped.cancel)
        for layer, placed in threads.run(ordered):
            self._placed[self._identity(layer)] = placed

    def _copy_arrivals(self) -> None:
        for layer in self._image.arrivals():
            placed = self._copy(layer)[1]
            diff_id = layer.source.diff_id
            if diff_id not in self._image.diff_ids:
                raise InvalidImage(f'{self._image.reference}: the source gave layer {diff_id}, which its config does '
                                   'not list')
            self._placed[diff_id] = placed

    def _copy(self, layer: Layer) -> tuple[Layer, PlacedLayer]:
        """Put one layer in its place, unless it is there."""
        self._observe(0)
        stored = self._output.wants is LayerForm.STORED
        ready = self._with_blob(layer) if stored else layer
        outgoing = Outgoing(ready, self._output.wants, self._observe)
        try:
            known = outgoing.descriptor if stored else outgoing.diff_id
            written = self._output.has_layer(outgoing) if known else None
            placed = outgoing.placed(written or self._output.write_layer(outgoing))
        finally:
            outgoing.close()
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
            keys = [self._identity(layer) for layer in self._image.layers]
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

    def _identity(self, layer: Layer) -> object:
        """Return what makes two layers the same below all filters: the tar, and the blob where blobs are wanted."""
        source = layer.source
        stored = source.descriptor and self._output.wants is LayerForm.STORED
        return source.diff_id or id(source), source.descriptor.digest if source.descriptor and stored else None
