"""Copying what an index lists and what hangs on images: each part under its own digest, several at once."""
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from occystrap_core.errors import PluginError
from occystrap_core.image.image import Image
from occystrap_core.image.image_index import Attached, Child, Content, ImageIndex, below
from occystrap_core.image_output import ImageOutput, PlacedLayer, WrittenAttachment, WrittenImage, WrittenIndex
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.pipeline.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.settings import Cancellation, Settings
from occystrap_core.verification.receipt import Expectation, Receipt


class PartCopy(ImageCopy):
    """Copies one image and remembers the manifest that it got."""

    written: Manifest | None = None

    def _finalized(self, written: WrittenImage) -> Receipt:
        self.written = written.manifest
        return super()._finalized(written)


class Parts:
    """Everything that goes to a destination before the index or image that it belongs to, which makes it visible."""

    def __init__(self, output: ImageOutput, settings: Settings, source: str, progress: Callable[[int], None],
                 recipe: str | None) -> None:
        """The arguments are those of ImageCopy; `output` holds indexes."""
        self._output, self._settings, self._source, self._recipe = output, settings, source, recipe
        self._progress = progress
        self._stopped = Cancellation()
        self._documents: dict[int, Manifest | Index] = {}
        self._receipts: dict[int, Receipt] = {}
        self._layers: dict[Digest, PlacedLayer] = {}
        self._order: list[int] = []

    @property
    def receipts(self) -> list[Receipt]:
        """A receipt for each part, in the order of the index, whatever was ready first."""
        return [self._receipts[each] for each in self._order]

    @property
    def layers(self) -> list[PlacedLayer]:
        """The blobs of all parts, each once."""
        return list(self._layers.values())

    def copy(self, contents: Sequence[Content]) -> None:
        """Copy all of these and what is below them; raises what went wrong first, when all has come to a stop."""
        everything = list(below(*contents))
        self._order = [id(each) for each in everything]
        images = [each for each in everything if isinstance(each, Image)]
        threads = DaemonThreads(min(self._settings.jobs, len(images)), 'part')
        futures: list[Future[None]] = [threads.submit(partial(self._copy_image, image)) for image in images]
        try:
            for future in completed(futures, self._settings.cancellation.check):
                future.result()
        except BaseException:
            self._stopped.cancel()
            give_up(futures)
            raise
        finally:
            threads.close()
        for index in everything:
            if isinstance(index, ImageIndex):
                self._write_index(index)

    def resulting(self, index: ImageIndex) -> Index:
        """Return the index as it must be written: the source's own, byte for byte, if all of it was taken as it is."""
        return index.index.replaced({child.place: self._documents[id(child.content)].descriptor
                                     for child in index.children})

    def attach(self, attached: Sequence[Attached]) -> list[Expectation]:
        """Have what was copied found by what it hangs on; return what to expect of that."""
        written = [WrittenAttachment(self._documents[id(each.content)], each.subject, each.tag) for each in attached]
        return list(self._output.attach(written)) if written else []

    def _copy_image(self, image: Image) -> None:
        output = self._output.child()
        output.layer_store = output.layer_store or (Parts, id(self))
        copy = PartCopy(image, output, self._settings, self._source, self._advance, self._recipe)
        self._receipts[id(image)] = copy.run()
        if copy.written is None:
            raise PluginError(f'{type(self._output).__name__} holds indexes, but its child() wants no stored blobs')
        self._documents[id(image)] = copy.written
        self._layers.update((layer.digest, layer) for layer in copy.layers)

    def _write_index(self, index: ImageIndex) -> None:
        document = self.resulting(index)
        self._documents[id(index)] = document
        self._receipts[id(index)] = self._output.child().finalize_index(
            WrittenIndex(index.reference, self._source, document))

    def _advance(self, count: int) -> None:
        """Tell of progress; raises in every part's streams when one of them has failed."""
        self._stopped.check()
        self._progress(count)


def listed(children: Sequence[Child], attached: Sequence[Attached]) -> list[Content]:
    """Return what is listed and what hangs on it."""
    return [*(child.content for child in children), *(each.content for each in attached)]
