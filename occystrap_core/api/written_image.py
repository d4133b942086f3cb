"""What the core and a writer exchange: outgoing layers, and the description of a written image."""
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from occystrap_core.api.uri import Location
from occystrap_core.files.held_bytes import HeldBytes
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.image import Content, Image, ImageIndex
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.oci.referrers import referrer_of
from occystrap_core.verification.expectation import MERGED, Evidence, Expectation
from occystrap_core.verification.provenance import Bringer, PlatformChoices
from occystrap_core.verification.receipt import Receipt

if TYPE_CHECKING:
    from occystrap_core.oci.layout import Entry


class LayerForm(Enum):
    """The form in which a writer takes layers.

    STORED: the blob that `layer.descriptor` describes, with its exact size; `finalize` gets a manifest. The core
    compresses layers without a blob first (`ImageOutput.compression`), or while they are sent
    (`ImageOutput.stream_layer`). TAR: the uncompressed tar.
    """

    STORED = 'stored'
    TAR = 'tar'


class OutgoingLayer(Protocol):
    """A layer as a writer sees it, in the form that the writer takes. The core counts and hashes it while it is read.
    """

    @property
    def index(self) -> int:
        """The position in the image, 0 for the lowest; -1 while unknown."""

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the tar; None while it is unknown."""

    @property
    def descriptor(self) -> Descriptor | None:
        """The blob that `open` returns; always present in STORED form, except in `stream_layer`; None in TAR form."""

    @property
    def source_blob(self) -> Descriptor | None:
        """The blob at the source that `open` reads, in both forms; None if there is none, or a filter reads it."""

    @property
    def filtered(self) -> bool:
        """Whether a filter or compression may change the layer, so that its size may differ from the hint."""

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes; None if unknown."""

    def open(self, held: HeldBytes | None = None) -> ByteStream:
        """Return the layer from its first byte; to send it again, open it again. Close it after use.

        `held` has the first bytes of `source_blob` that an earlier run kept. They are read instead of the source's, and
        the rest is added to them. If reading raises InvalidImage, they were damaged: call `held.forget()` and open
        again.
        """


class WrittenLayer(NamedTuple):
    """What a writer returns for a layer: its locator, and nothing about its bytes unless the writer checked them
    itself.

    Only `has_layer` and `adopt_layer` set `size` and `digest`, those at the destination; the core knows them for what
    it streamed. `kept`: an interrupted run had fetched the layer and kept it.
    """

    locator: str
    digest: Digest | None = None
    size: int | None = None
    evidence: Evidence = Evidence.DESCRIPTOR
    kept: bool = False


class ResumedLayer(NamedTuple):
    """The blob of a layer at its source, and how many of its bytes an earlier run had kept, so that they were not read
    again."""

    blob: Descriptor
    reused: int


class PlacedLayer(NamedTuple):
    """A layer of a written image. Digest and size are those of the bytes at `locator`, in the writer's form."""

    index: int  # type: ignore[assignment]  # instead of the method of tuples
    diff_id: Digest
    descriptor: Descriptor | None
    locator: str
    digest: Digest
    size: int
    evidence: Evidence
    resumed: ResumedLayer | None = None

    @property
    def moved(self) -> int:
        """Number of bytes written for it, without those that an earlier run had kept."""
        if self.resumed and self.resumed.reused == self.resumed.blob.size:
            return 0
        return self.size - (self.resumed.reused if self.resumed and self.descriptor else 0)


class WrittenImage(NamedTuple):
    """An image whose layers are all written: the argument of `finalize`.

    `manifest` is the source's, byte for byte, if no layer changed; a new one if a layer changed or the source has none;
    None for writers of TAR form if the source has none. `config` holds the bytes that must be written.
    `layers` are all layers of the image, each with `index`, `diff_id`, `descriptor`, the `locator` that the writer
    returned, and `digest` and `size` of what it wrote; a layer that the image has twice was written once and is listed
    twice. `place`, `source_digest`, `platforms` and `brought_by` are for the receipt.
    """

    reference: Reference
    source: str
    manifest: Manifest | None
    config: ImageConfig
    layers: Sequence[PlacedLayer] = ()
    place: str = ''
    source_digest: Digest | None = None
    form: LayerForm = LayerForm.TAR
    merged: bool = False
    platforms: PlatformChoices = PlatformChoices()
    brought_by: Sequence[Bringer] = ()

    @classmethod
    def present(cls, image: Image, source: str, place: str) -> 'WrittenImage':
        """Return an image that is already at a destination, and was opened there; blobs are located by digest."""
        layers = [PlacedLayer(layer.index, layer.diff_id, layer.descriptor, str(layer.descriptor.digest),
                              layer.descriptor.digest, layer.descriptor.size, Evidence.DESCRIPTOR)
                  for layer in image.layers if layer.descriptor and layer.diff_id]
        digest = image.manifest.digest if image.manifest else None
        return cls(image.reference, source, image.manifest, image.config, layers, place, digest, LayerForm.STORED)

    @classmethod
    def present_receipt(cls, content: Content, source: str, location: Location, place: str, reference: Reference,
                        name: str) -> Receipt:
        """Return the receipt of an opened image or index with manifests: what `location` must have, located by digests.

        `name` locates the manifest or index itself.
        """
        if isinstance(content, ImageIndex):
            parts = {id(each.content): each.content for each in content.children}
            receipts = [cls.present_receipt(each, source, location, place, reference, str(_document_of(each).digest))
                        for each in parts.values()]
            index = content.index
            written = WrittenIndex(reference, source, index, receipts, (), place, index.digest)
            return written.receipt(location, [_expected(index, name)], reference=reference)
        manifest = _document_of(content)
        assert isinstance(manifest, Manifest)
        config = manifest.config
        documents = [_expected(manifest, name), Expectation('config', config.digest, config.digest, config.size)]
        return cls.present(content, source, place).receipt(location, documents, reference=reference)

    def without_layers(self) -> 'WrittenImage':
        """Return this image for a receipt that expects no layers, because one tree covers all of them."""
        return self._replace(layers=(), merged=True)

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                locate: Callable[[PlacedLayer], str] = lambda layer: layer.locator,
                ) -> Receipt:
        """Return the receipt: `documents` as the writer passes them, then each layer as the core saw it."""
        layers = [Expectation('layer', locate(layer), layer.digest, layer.size, layer.evidence,
                              () if layer.diff_id == layer.digest else (layer.diff_id,)) for layer in self.layers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.config.digest, tuple(self.config.diff_ids),
                       tuple(dict.fromkeys([*documents, *layers])), self.manifest.digest if self.manifest else None,
                       self.place, self.source_digest, MERGED if self.merged else self.form.value,
                       platforms=self.platforms, brought_by=self.brought_by)


class WrittenReferrer(NamedTuple):
    """A referrer that was written under its digest; found by its `subject` or by `tag`."""

    document: Manifest | Index
    subject: Digest | None = None
    tag: str = ''

    @property
    def entry(self) -> 'Entry':
        """Its entry in the index.json of a layout, by which it is found: without a name, or named by its tag."""
        from occystrap_core.oci.layout import named_entry  # late, as few images have referrers
        return named_entry(referrer_of(self.document) if self.subject else self.document.descriptor, self.tag)


class WrittenIndex(NamedTuple):
    """An index whose parts are all written: the argument of `finalize_index`.

    `index` holds the bytes that must be written: the source's own if everything was copied unchanged. `parts` are the
    receipts of all images and indexes in it, `referrers` the expectations about referrers.
    """

    reference: Reference
    source: str
    index: Index  # type: ignore[assignment]  # instead of the method of tuples
    parts: Sequence[Receipt] = ()
    referrers: Sequence[Expectation] = ()
    place: str = ''
    source_digest: Digest | None = None
    platforms: PlatformChoices = PlatformChoices()
    brought_by: Sequence[Bringer] = ()

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                ) -> Receipt:
        """Return one receipt for the whole: `documents` as the writer passes them, then the expectations of all parts.
        """
        expected = [*documents, *(each for part in self.parts for each in part.expectations), *self.referrers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.index.digest, (), merged(expected), self.index.digest, self.place,
                       self.source_digest, LayerForm.STORED.value,
                       tuple(part for receipt in self.parts for part in receipt.all_parts()), self.platforms,
                       brought_by=self.brought_by)


def _document_of(content: Content) -> Manifest | Index:
    document = content.index if isinstance(content, ImageIndex) else content.manifest
    assert document
    return document


def _expected(document: Manifest | Index, name: str) -> Expectation:
    kind = 'index' if isinstance(document, Index) else 'manifest'
    return Expectation(kind, name, document.digest, len(document.raw))


def merged(expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Return each expectation once, in order; of two for the same item, the one with the stronger evidence."""
    best: dict[tuple[str, str, Digest, int], Expectation] = {}
    for each in expectations:
        key = each.kind, each.locator, each.digest, each.size
        there = best.get(key, each)
        seen = Evidence.STREAMED in (there.evidence, each.evidence)
        best[key] = each._replace(evidence=Evidence.STREAMED if seen else each.evidence,
                                  covers=tuple(dict.fromkeys([*there.covers, *each.covers])))
    return tuple(best.values())
