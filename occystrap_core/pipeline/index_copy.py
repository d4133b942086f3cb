"""Copying an index with all its entries, or an image with its referrers; all or nothing, as ImageCopy does."""
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import PlacedLayer, WrittenImage, WrittenIndex, WrittenReferrer, merged
from occystrap_core.cancellation import Cancellation
from occystrap_core.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.destinations.bringers import bringers
from occystrap_core.errors import PluginError
from occystrap_core.image.image import Child, Content, Image, ImageIndex, Referrer, all_contents
from occystrap_core.layers.layer_reads import LayerReads
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.pipeline.abortion import Abortion, writing_to
from occystrap_core.pipeline.base_layers import images_in, require_base
from occystrap_core.pipeline.content_fit import require_room
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.receipts.written_receipt import require_receipt
from occystrap_core.settings import Settings
from occystrap_core.tasks.request_check import platforms_of
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt


def as_written(output: ImageOutput, document: Manifest | Index | None) -> Manifest | Index | None:
    """Return a document in the form in which a writer has written it."""
    return output.rewritten or document


class PartCopy(ImageCopy):
    """Copies one image and keeps its resulting manifest."""

    written: Manifest | Index | None = None

    def _needing_base(self) -> Sequence[Image]:
        return ()  # Parts takes care of all parts

    def _finalized(self, written: WrittenImage) -> Receipt:
        receipt = super()._finalized(written)
        self.written = as_written(self._output, written.manifest)
        return receipt


def _part_of(output: ImageOutput) -> ImageOutput:
    """Return the writer of a part; raises PluginError if the writer of the whole cannot write the documents of one."""
    from occystrap_core.api.part_output import PartOutput  # late: an image without referrers has no parts
    return PartOutput(output)


class Parts:
    """Everything that goes to a destination before the index or image that makes it visible."""

    def __init__(self, output: ImageOutput, settings: Settings, source: str, progress: Callable[[int], None],
                 recipe: str | None, reads: LayerReads | None) -> None:
        """The arguments are those of ImageCopy; the output must have `holds_indexes`."""
        self._reads = reads
        self._output, self._settings, self._source, self._recipe = output, settings, source, recipe
        self._progress = progress
        self._stopped = Cancellation()
        self._documents: dict[int, Manifest | Index] = {}
        self._receipts: dict[int, Receipt] = {}
        self._layers: dict[Digest, PlacedLayer] = {}
        self._order: list[int] = []

    @property
    def receipts(self) -> list[Receipt]:
        """A receipt for each part that was written, in the order of the index."""
        return [self._receipts[each] for each in self._order if each in self._receipts]

    @property
    def layers(self) -> list[PlacedLayer]:
        """The blobs of all parts, each once."""
        return list(self._layers.values())

    def copy(self, contents: Sequence[Content]) -> None:
        """Copy all of these and their parts; raises the first error, after all copies have stopped."""
        everything = list(all_contents(*contents))
        self._order = [id(each) for each in everything]
        images = [each for each in everything if isinstance(each, Image)]
        settings = self._settings
        threads = settings.shared.get((Parts, settings.lane), lambda: DaemonThreads(settings.jobs, 'part'))
        futures: list[Future[None]] = [threads.submit(partial(self._copy_image, image)) for image in images]
        try:
            for future in completed(futures, self._settings.cancellation.check):
                future.result()
        except BaseException:
            self._stopped.cancel()
            give_up(futures)
            raise
        for index in everything:
            if isinstance(index, ImageIndex):
                self._write_index(index)

    def resulting(self, index: ImageIndex) -> Index:
        """Return the index to write: the source's own, byte for byte, if all of it was copied unchanged."""
        return index.index.replaced({child.place: self._documents[id(child.content)].descriptor
                                     for child in index.children if id(child.content) in self._documents})

    def attach_referrers(self, referrers: Sequence[Referrer]) -> list[Expectation]:
        """Make the copied referrers findable; return the expectations for that."""
        written = [WrittenReferrer(self._documents[id(each.content)], each.subject, each.tag) for each in referrers]
        return list(self._output.attach_referrers(written)) if written else []

    def _copy_image(self, image: Image) -> None:
        output = _part_of(self._output)
        output.layer_store = output.layer_store or (Parts, id(self))
        copy = PartCopy(image, output, self._settings, self._source, self._advance, self._recipe,
                        self._reads)
        try:
            self._receipts[id(image)] = copy.run()
        except ImageOutput.LeftOut:
            return
        if copy.written is None:
            raise PluginError(f'{type(self._output).__name__} declares holds_indexes, but does not take STORED form')
        self._documents[id(image)] = copy.written
        self._layers.update((layer.digest, layer) for layer in copy.layers)

    def _write_index(self, index: ImageIndex) -> None:
        document, output = self.resulting(index), _part_of(self._output)
        self._receipts[id(index)] = output.finalize_index(WrittenIndex(index.reference, self._source, document))
        self._documents[id(index)] = as_written(output, document) or document

    def _advance(self, count: int) -> None:
        """Report progress; raises in every part's streams after one of them has failed."""
        self._stopped.check()
        self._progress(count)


def contents_of(children: Sequence[Child], referrers: Sequence[Referrer]) -> list[Content]:
    """Return the contents of children and referrers."""
    return [*(child.content for child in children), *(each.content for each in referrers)]


def _ignore(count: int) -> None:
    """Ignore progress."""


class IndexCopy:
    """Copies an index, or a selection of its entries, into one output; the interface is that of ImageCopy."""

    def __init__(self, index: ImageIndex, output: ImageOutput, settings: Settings, source: str,
                 progress: Callable[[int], None] = _ignore, recipe: str | None = None, reads: LayerReads | None = None,
                 ) -> None:
        """The arguments are those of ImageCopy."""
        self._index, self._output, self._source, self._settings = index, output, source, settings
        self._parts = Parts(output, settings, source, progress, recipe, reads)
        self.abortion = Abortion(output)
        self.layers: Sequence[PlacedLayer] = ()

    def run(self) -> Receipt:
        """Copy and return the receipt of the whole; raises the first error, after the output was aborted."""
        try:
            with writing_to(self._output):
                self._output.prepare_index(self._index)
                require_base(images_in(self._index), self._output, self._settings)
            self._parts.copy(contents_of(self._index.children, self._index.referrers))
            referrers = self._parts.attach_referrers(self._index.referrers)
            self.layers = self._parts.layers
            reference, index = self._index.reference, self._parts.resulting(self._index)
            written = WrittenIndex(reference, self._source, index, self._parts.receipts, referrers,
                                   str(self._output.place(reference)), self._index.origin.digest,
                                   platforms_of(self._index), bringers(self._settings))
            with writing_to(self._output):
                receipt = self._output.finalize_index(written)
            return require_receipt(receipt, self._output, (as_written(self._output, index) or index).digest)
        except BaseException as error:
            self.abortion.abort(error)
            raise


class ReferrersCopy(ImageCopy):
    """Copies an image with its referrers, which are at the destination before the image's tag is."""

    def __init__(self, image: Image, output: ImageOutput, settings: Settings, source: str,
                 progress: Callable[[int], None] = _ignore, recipe: str | None = None, reads: LayerReads | None = None,
                 ) -> None:
        """The arguments are those of ImageCopy."""
        super().__init__(image, output, settings, source, progress, recipe, reads)
        self._referrers = image.referrers
        self._parts = Parts(output, settings, source, progress, recipe, reads)

    def _needing_base(self) -> Sequence[Image]:
        return [*super()._needing_base(), *images_in(*contents_of((), self._referrers))]

    def _finalized(self, written: WrittenImage) -> Receipt:
        self._parts.copy(contents_of((), self._referrers))
        referrers = self._parts.attach_referrers(self._referrers)
        self.layers = [*self.layers, *self._parts.layers]
        receipt = super()._finalized(written)
        of_parts = [each for part in self._parts.receipts for each in part.expectations]
        return replace(receipt, expectations=merged([*receipt.expectations, *of_parts,  *referrers]),
                       parts=tuple(each for part in self._parts.receipts for each in part.all_parts()))


def copy_of(opened: Image | ImageIndex, output: ImageOutput, settings: Settings, source: str,
            progress: Callable[[int], None] = _ignore, recipe: str | None = None, reads: LayerReads | None = None,
            ) -> ImageCopy | IndexCopy:
    """Return the copy of what an input opened; raises UsageError, before anything is read, if the output cannot take
    it.

    The arguments are those of ImageCopy.
    """
    require_room(opened, output)
    if isinstance(opened, ImageIndex):
        return IndexCopy(opened, output, settings, source, progress, recipe, reads)
    kind = ReferrersCopy if opened.referrers else ImageCopy
    return kind(opened, output, settings, source, progress, recipe, reads)


def size_to_move(opened: Image | ImageIndex) -> int:
    """Return the size in bytes of all layers and blobs to copy, as far as it is known, for progress."""
    images = [each for each in all_contents(opened) if isinstance(each, Image)]
    return sum(layer.stored_size for image in images for layer in image.layers)
