"""Copying one image: its layers in parallel or as they arrive, its config, its manifest; all or nothing."""
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from functools import partial

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import LayerForm, PlacedLayer, WrittenImage, WrittenLayer
from occystrap_core.cancellation import Cancellation
from occystrap_core.daemon_threads import completed, give_up
from occystrap_core.destinations.bringers import bringers
from occystrap_core.errors import InvalidImage
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer, ReadObservers
from occystrap_core.layers.kept_layers import reused_bytes
from occystrap_core.layers.layer_cache import CachedLayer, LayerCache, Result, RunCache, made_from
from occystrap_core.layers.layer_order import ordered_layers
from occystrap_core.layers.layer_reads import LayerReads
from occystrap_core.layers.outgoing_layer import LayerKey, Outgoing, naming_layer
from occystrap_core.layers.recompression import SpooledLayer
from occystrap_core.layers.single_flight import layer_jobs
from occystrap_core.oci.digest import SHA256
from occystrap_core.pipeline.abortion import Abortion, writing_layer_to, writing_to
from occystrap_core.pipeline.base_layers import find_layer, require_base
from occystrap_core.pipeline.result_documents import resulting_config, resulting_manifest
from occystrap_core.receipts.written_receipt import require_receipt
from occystrap_core.settings import Settings
from occystrap_core.tasks.request_check import platforms_of, require_platform_at_end
from occystrap_core.verification.receipt import Receipt


class ImageCopy:
    """Copies one image into one output. After `run` the image is complete there, or, after an exception, nothing is."""

    def __init__(self, image: Image, output: ImageOutput, settings: Settings, source: str,
                 progress: Callable[[int], None] = lambda count: None, recipe: str | None = None,
                 reads: LayerReads | None = None) -> None:
        """`source` is the URI for the receipt; `progress` is called with the number of bytes that are read from the
        source.

        `recipe` describes the filters that `image` went through; None if their results must not be taken from a cache.
        `reads` are shared with copies of the same image to other destinations.
        """
        self._reads = reads or LayerReads()
        self._image, self._output, self._settings, self._source = image, output, settings, source
        self._progress = progress
        self._observers = ReadObservers() if image.sequential else ReadObservers(moved=progress)
        self._recipe = None if recipe is None else f'{output.layer_form.value} {recipe}'
        if output.layer_form is LayerForm.STORED and self._recipe:
            self._recipe += f' {output.compression}'
        self._cache: LayerCache = settings.shared.get(LayerCache, RunCache)
        self._stopped = Cancellation()
        self.abortion = Abortion(output)
        self._placed: dict[LayerKey, PlacedLayer] = {}
        self._placed_in_order: list[PlacedLayer] = []
        self.layers: Sequence[PlacedLayer] = ()

    def run(self) -> Receipt:
        """Copy and return the receipt; raises the first error, after the output was aborted."""
        try:
            with writing_to(self._output):
                self._output.prepare(self._image)
                require_base(self._needing_base(), self._output, self._settings)
            if self._output.in_order:
                self._copy_in_order()
            elif self._image.sequential:
                self._copy_arrivals()
            else:
                self._copy_in_parallel()
            self.layers = self._in_order()
            return self._finalized(self._written())
        except BaseException as error:
            self._stopped.cancel()
            self.abortion.abort(error)
            raise

    def _needing_base(self) -> Sequence[Image]:
        """Return the images whose layers a delta may leave out, so that the destination must have them."""
        return [self._image]

    def _finalized(self, written: WrittenImage) -> Receipt:
        with writing_to(self._output):
            receipt = self._output.finalize(written)
        return require_receipt(receipt, self._output, written.config.digest, written.layers)

    def _copy_in_parallel(self) -> None:
        """Copy the largest layers first, so that a large one does not start last; a layer listed twice is copied once.
        """
        distinct = {self._key(layer): layer for layer in self._image.layers}
        ordered = sorted(distinct.values(), key=lambda layer: -layer.stored_size)
        turns = layer_jobs(self._settings)
        futures: list[Future[tuple[LayerKey, PlacedLayer]]] = []
        try:
            for layer in ordered:
                futures.append(turns.submit(self._place(layer), partial(self._copy, layer)))
            for future in completed(futures, self._settings.cancellation.check):
                key, placed = future.result()
                self._placed[key] = placed
        except BaseException:
            self._stopped.cancel()
            give_up(futures)
            raise

    def _place(self, layer: Layer) -> Hashable:
        """Return a key for a layer that other images of the run may bring to the same place; None if there is no such
        place."""
        store = self._output.layer_store
        known = self._recipe is not None and layer.source.diff_id is not None
        return (store, self._recipe, self._key(layer)) if store is not None and known else None

    def _copy_arrivals(self) -> None:
        unchanged = self._output.layer_form is LayerForm.STORED and self._image is self._image.source
        beside = unchanged and not self._reads.shared
        for layer in (self._image.arrivals_beside(self._output.blob_size) if beside
                      else self._reads.arrivals(self._image)):
            key, placed = self._copy(layer)
            if key.tar not in self._image.diff_ids:
                raise InvalidImage(f'{self._image.reference}: the source provided layer {layer.source.diff_id}, which '
                                   'its config does not list')
            self._placed[key] = placed

    def _copy_in_order(self) -> None:
        """Write one layer at a time, on the threads that all images share."""
        turns = layer_jobs(self._settings)
        with closing(ordered_layers(self._image, self._settings, self._reads.arrivals)) as layers:
            for layer in layers:
                future = turns.submit(None, partial(self._copy, layer))
                try:
                    for each in completed([future], self._settings.cancellation.check):
                        key, placed = each.result()
                        self._placed[key] = placed
                        self._placed_in_order.append(placed)
                except BaseException:
                    self._stopped.cancel()
                    give_up([future])
                    raise

    def _copy(self, layer: Layer) -> tuple[LayerKey, PlacedLayer]:
        """Write one layer, unless it is there; return its key, which may be known only after reading it."""
        ready: Layer | None = None
        try:
            self._check(0)
            if placed := self._there_from_cache(layer):
                self._progress(layer.stored_size)
                return self._key(layer), placed
            placed = self._streamed(layer)
            if placed is None:
                ready = self._ready(layer)
                placed = self._put(ready)
        finally:
            self._reads.done(layer, ready)
        self._remember(layer, placed)
        return self._key(layer), placed

    def _ready(self, layer: Layer) -> Layer:
        """Return the layer in the writer's form."""
        if self._output.layer_form is LayerForm.TAR:
            return self._reads.readable(layer)
        with naming_layer(layer):
            return self._reads.with_blob(layer, self._check, self._observers, self._output.compression, self._settings)

    def _streamed(self, layer: Layer) -> PlacedLayer | None:
        """Have the writer send a layer's blob while it is compressed; return None if it must be compressed first.

        It must if the layer can be read only once: if it arrives in a stream, if other destinations read it too, or if
        its filters have other effects than their result.
        """
        is_made = self._output.layer_form is LayerForm.STORED and not (layer.descriptor or layer.source.descriptor)
        if not is_made or self._image.sequential or self._reads.shared or self._recipe is None:
            return None
        from occystrap_core.layers.streamed_layer import StreamedLayer  # late, as few sources have tars
        made = StreamedLayer(layer, self._output.compression, self._check, self._settings)
        with closing(self._outgoing(made)) as outgoing, naming_layer(layer), writing_layer_to(self._output):
            written = self._output.stream_layer(outgoing)
            return self._counted(outgoing.placed(written)) if written else None

    def _put(self, ready: Layer) -> PlacedLayer:
        """Have the writer find the layer, or else write it."""
        with closing(self._outgoing(ready)) as outgoing:
            if written := self._found(outgoing):
                self._progress(0 if isinstance(ready, SpooledLayer) else ready.stored_size)
            with naming_layer(ready), writing_layer_to(self._output):
                placed = outgoing.placed(written or self._output.write_layer(outgoing))
            return self._counted(placed, moved=not written)

    def _outgoing(self, ready: Layer) -> Outgoing:
        return Outgoing(ready, self._output.layer_form, self._check, self._observers, self._output.unpacks)

    def _counted(self, placed: PlacedLayer, moved: bool = True) -> PlacedLayer:
        """Return a placed layer after counting the bytes that were moved for it."""
        bytes_moved = placed.moved if moved else 0
        self._settings.requests.count(bytes_moved=bytes_moved, bytes_reused=reused_bytes([placed]))
        return placed

    def _found(self, outgoing: Outgoing) -> WrittenLayer | None:
        if self._output.in_order:
            return None
        known = outgoing.descriptor if self._output.layer_form is LayerForm.STORED else outgoing.diff_id
        return find_layer(self._output, outgoing, self._settings) if known else None

    def _there_from_cache(self, layer: Layer) -> PlacedLayer | None:
        """Return the placed layer if the cache has its result and the destination still has the layer."""
        source = made_from(layer, self._output.layer_form is LayerForm.STORED)
        result = self._cache.find(source, self._recipe) if source and self._recipe else None
        if result is None:
            return None
        outgoing = Outgoing(CachedLayer(layer, result), self._output.layer_form, self._check, self._observers)
        written = self._found(outgoing)
        return outgoing.placed(written) if written else None

    def _remember(self, layer: Layer, placed: PlacedLayer) -> None:
        source = made_from(layer, self._output.layer_form is LayerForm.STORED)
        if source and self._recipe:
            self._cache.keep(source, self._recipe, Result(placed.diff_id, placed.descriptor))

    def _in_order(self) -> list[PlacedLayer]:
        """Return the placed layer for each of the image's layers; those of a sequential image are identified by the
        diff_id at the source."""
        if self._image.sequential:
            keys = [LayerKey(diff_id) for diff_id in self._image.diff_ids]
        else:
            keys = [self._key(layer) for layer in self._image.layers]
        if missing := [str(key.tar) for key in keys if key not in self._placed]:
            raise InvalidImage(f'{self._image.reference}: the source did not provide layer {", ".join(missing)}')
        placed = self._placed_in_order or [self._placed[key] for key in keys]
        return [each._replace(index=index) for index, each in enumerate(placed)]

    def _written(self) -> WrittenImage:
        require_platform_at_end(self._image, self._settings)
        config = resulting_config(self._image, self.layers)
        manifest = resulting_manifest(self._image, config, self.layers)
        if self._output.layer_form is LayerForm.TAR:
            config = replace(config, algorithm=SHA256)  # destinations of tars identify an image by its image ID
        reference, origin = self._image.reference, self._image.origin
        return WrittenImage(reference, self._source, manifest, config, self.layers, str(self._output.place(reference)),
                            origin.digest if origin else None, self._output.layer_form,
                            platforms=platforms_of(self._image), brought_by=bringers(self._settings))

    def _check(self, count: int) -> None:
        """Raise if the run or this copy is to stop; called with the number of bytes that pass."""
        self._settings.cancellation.check()
        self._stopped.check()
        if self._image.sequential:
            self._progress(count)

    def _key(self, layer: Layer) -> LayerKey:
        """Return the key of a layer; for a sequential image only the diff_id, since its config lists layers by that."""
        return LayerKey.of(layer, self._output.layer_form is LayerForm.STORED and not self._image.sequential)
