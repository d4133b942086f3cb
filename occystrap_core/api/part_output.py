"""The writer of a part of an index."""
from typing import TypeVar

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import OutgoingLayer, WrittenImage, WrittenIndex, WrittenLayer
from occystrap_core.errors import PluginError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.verification.receipt import Receipt

D = TypeVar('D', Manifest, Index)


class PartOutput(ImageOutput):
    """Writes a part of an index, or a referrer, to the destination of the whole.

    Layers and documents go through the writer of the whole, and the part gets no name.
    """

    holds_indexes = True

    def __init__(self, whole: ImageOutput) -> None:
        """Raises PluginError if the writer of the whole cannot write the documents of a part."""
        if type(whole).put_documents is ImageOutput.put_documents:
            raise PluginError(f'{type(whole).__name__} declares holds_indexes, but has no put_documents()')
        super().__init__(whole.location, whole.settings)
        self.layer_form, self.compression, self.layer_store = whole.layer_form, whole.compression, whole.layer_store
        self._whole = whole

    def place(self, reference: Reference) -> Place:
        """Return the place of the whole."""
        return self._whole.place(reference)

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the existing layer, as the writer of the whole does."""
        return self._whole.has_layer(layer)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of an existing blob, as the writer of the whole does."""
        return self._whole.blob_size(digest)

    def omit_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Leave the layer out of a delta, as the writer of the whole does."""
        return self._whole.omit_layer(layer)

    def note_base(self, digest: Digest, location: Location) -> None:
        """Note where a blob should be, as the writer of the whole does."""
        self._whole.note_base(digest, location)

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Take the layer from elsewhere at the destination, as the writer of the whole does."""
        return self._whole.adopt_layer(layer)

    def copy_base(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Copy the layer within the destination, as the writer of the whole does."""
        return self._whole.copy_base(layer)

    def stream_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write the layer while its blob is made, as the writer of the whole does."""
        return self._whole.stream_layer(layer)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write the layer, as the writer of the whole does."""
        return self._whole.write_layer(layer)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest."""
        documents = self._whole.put_documents(image)
        manifest = image.manifest and self._as_written(image.manifest)
        receipt = image._replace(manifest=manifest).receipt(self.location, documents)
        self._whole.parts.extend(receipt.expectations)
        return receipt

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write an index within the index."""
        documents = self._whole.put_documents(index)
        self._whole.parts.extend(documents)
        return index._replace(index=self._as_written(index.index)).receipt(self.location, documents)

    def abort(self) -> None:
        """Do nothing: the whole is aborted as well."""

    def _as_written(self, document: D) -> D:
        """Return a document in the form in which the whole wrote it."""
        written = self._whole.rewritten_parts.get(document.digest)
        if not isinstance(written, type(document)):
            return document
        self.rewritten = written
        return written
