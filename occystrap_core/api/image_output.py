"""The contract of a writer."""
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.errors import OutputError, PluginError
from occystrap_core.files.stream import ByteStream
from occystrap_core.image.image import Image
from occystrap_core.image.image_index import ImageIndex
from occystrap_core.image.origin import platforms_of
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.verification.expectation import Evidence, Expectation
from occystrap_core.verification.receipt import MERGED, PlatformChoices, Receipt


class LayerForm(Enum):
    """The form in which a writer takes layers.

    STORED: the blob as `layer.descriptor` describes it, always set, its size exact; `finalize` gets a manifest. The
    core compresses layers without a blob before (`ImageOutput.compression`). TAR: the uncompressed tar.
    """

    STORED = 'stored'
    TAR = 'tar'


class OutgoingLayer(Protocol):
    """A layer as a writer sees it, in the form it takes. The core counts and hashes it while it is read."""

    @property
    def index(self) -> int:
        """The position in the image, 0 for the lowest; -1 while unknown."""

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the tar; None while it is unknown."""

    @property
    def descriptor(self) -> Descriptor | None:
        """The blob that `open` gives; always present in STORED form, None in TAR form."""

    @property
    def filtered(self) -> bool:
        """Whether a filter or compression may change the layer, so that its size may differ from the hint."""

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes; None if unknown."""

    def open(self) -> ByteStream:
        """Open the layer at its first byte. A writer that sends the layer again opens it again. Close it after use."""


class WrittenLayer(NamedTuple):
    """What a writer returns for a layer: its locator, and nothing about its bytes unless the writer checked them
    itself.

    Only `has_layer` and `adopt_layer` give `size` and `digest`, of what is at the destination; the core knows them of
    what it streamed.
    """

    locator: str
    digest: Digest | None = None
    size: int | None = None
    evidence: Evidence = Evidence.DESCRIPTOR


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """A layer of a written image. Digest and size are those of the bytes at `locator`, in the writer's form."""

    index: int
    diff_id: Digest
    descriptor: Descriptor | None
    locator: str
    digest: Digest
    size: int
    evidence: Evidence


class WrittenImage(NamedTuple):
    """An image whose layers are all written: the argument of `finalize`.

    `manifest` is the source's, byte for byte, if no layer changed; a new one if a layer changed or the source has none;
    None for writers of TAR form if the source has none. `config` holds the bytes that must be written.
    `layers` are all layers of the image, each with `index`, `diff_id`, `descriptor`, the `locator` that the writer
    returned, and `digest` and `size` of what it wrote; a layer that the image has twice was written once and is listed
    twice. `place`, `source_digest` and `platforms` are for the receipt.
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

    @classmethod
    def present(cls, image: Image, source: str, place: str) -> 'WrittenImage':
        """Return an image that a destination holds already, opened there, its blobs found by their digests alone."""
        layers = [PlacedLayer(layer.index, layer.diff_id, layer.descriptor, str(layer.descriptor.digest),
                              layer.descriptor.digest, layer.descriptor.size, Evidence.DESCRIPTOR)
                  for layer in image.layers if layer.descriptor and layer.diff_id]
        digest = image.manifest.digest if image.manifest else None
        return cls(image.reference, source, image.manifest, image.config, layers, place, digest, LayerForm.STORED)

    def without_layers(self) -> 'WrittenImage':
        """Return this image for a receipt that expects no layers, because one tree covers all of them."""
        return self._replace(layers=(), merged=True)

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                locate: Callable[[PlacedLayer], str] = lambda layer: layer.locator,
                ) -> Receipt:
        """Return the receipt: `documents` as the writer gives them, then each layer as the core saw it."""
        layers = [Expectation('layer', locate(layer), layer.digest, layer.size, layer.evidence,
                              () if layer.diff_id == layer.digest else (layer.diff_id,)) for layer in self.layers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.config.digest, tuple(self.config.diff_ids),
                       tuple(dict.fromkeys([*documents, *layers])), self.manifest.digest if self.manifest else None,
                       self.place, self.source_digest, MERGED if self.merged else self.form.value,
                       platforms=self.platforms)


class WrittenReferrer(NamedTuple):
    """A referrer of an image that was written by its digest; found by its `subject` or by `tag`."""

    document: Manifest | Index
    subject: Digest | None = None
    tag: str = ''


@dataclass(frozen=True, eq=False)
class WrittenIndex:
    """An index whose parts are all written: the argument of `finalize_index`.

    `index` holds the bytes that must be written: the source's own if everything was copied unchanged. `parts` are the
    receipts of all images and indexes in it, `referrers` the expectations about referrers.
    """

    reference: Reference
    source: str
    index: Index
    parts: Sequence[Receipt] = ()
    referrers: Sequence[Expectation] = ()
    place: str = ''
    source_digest: Digest | None = None
    platforms: PlatformChoices = PlatformChoices()

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                ) -> Receipt:
        """Return one receipt for the whole: `documents` as the writer gives them, then the expectations of all parts.
        """
        expected = [*documents, *(each for part in self.parts for each in part.expectations), *self.referrers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.index.digest, (), merged(expected), self.index.digest, self.place,
                       self.source_digest, LayerForm.STORED.value,
                       tuple(part for receipt in self.parts for part in receipt.all_parts()), self.platforms)


def merged(expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Return each expectation once, in order; of two for the same item, with the better evidence."""
    best: dict[tuple[str, str, Digest, int], Expectation] = {}
    for each in expectations:
        key = each.kind, each.locator, each.digest, each.size
        there = best.get(key, each)
        seen = Evidence.STREAMED in (there.evidence, each.evidence)
        best[key] = each._replace(evidence=Evidence.STREAMED if seen else each.evidence,
                                  covers=tuple(dict.fromkeys([*there.covers, *each.covers])))
    return tuple(best.values())


class ImageOutput(ABC):
    """Writes one image to one location.

    The scheme's factory is called once for each image of a run, on the main thread, before any image is opened. It must
    not write, connect or open anything. It raises UsageError for an impossible location. `place` is called next, on the
    same thread.

    On a thread of the image `kept_receipt`, `present_digest` and `present_receipt` may be called, to find out whether
    the image is already at the destination. If it is, or its source fails, no other method is called. Else follow
    `prepare`, once; `has_layer`, `adopt_layer` and `write_layer` for each layer, several layers in parallel, on the
    run's worker threads (Settings.jobs); and `finalize`, once. After an error or a signal in any of these, `abort` is
    called instead of the rest. Each image has an output of its own, several of which work in parallel
    (Settings.images). A writer starts no threads for layers, shows no progress, compresses nothing and changes no
    config. Nothing it writes may be visible at its final name before it is complete and, if `settings.sync` is true, on
    the device: it flushes files (fsync) before renaming them, and then the directory with the new name.

    Only `write_layer` and `finalize` must be defined; a writer that makes anything temporary must define `abort`.
    `__init__` sets `self.location` and `self.settings`.
    """

    class LeftOut(OutputError):
        """Raised by `finalize` of a child for a part that the destination has no form for, such as an attestation: the
        index is written without it, and `notes` say so."""

    layer_form = LayerForm.TAR
    """The form of layers that the writer takes; may be set in __init__ from options."""
    compression = 'gzip'
    """For STORED: the key of COMPRESSIONS with which the core compresses a layer that has no blob."""
    in_order = False
    """Whether layers are written one after the other, the lowest first, a layer that is listed twice both times.
    `has_layer` is then not called. If the source streams layers in another order, some wait in temporary files."""
    unpacks = False
    """Whether writing a layer in TAR form takes more work than moving its bytes. Reading, inflating and hashing are
    then done on another thread."""
    notes: Sequence[str] = ()
    """After `finalize`: lines for the user about what could not be preserved, such as owners without being root."""
    settle_seconds: float = 0.0
    """After `finalize` or `finalize_index`: how long the destination did not see what had just been written to it."""
    rewritten: Manifest | Index | None = None
    """After `finalize` or `finalize_index`: the document as it was written, if not as it was given, because a user or
    the destination needs another form. The receipt is for this one, and an index refers to it."""
    layer_store: Hashable = None
    """Identifies the place where `has_layer` or `adopt_layer` finds layers written for other images of the run, such as
    a directory or a registry. The core then has a shared layer written once, and calls these methods for the other
    images. None if there is no such place."""
    holds_indexes = False
    """Whether the writer also takes an ImageIndex, artifacts, and referrers. The core then calls `prepare_index`,
    writes each image of the index with a writer from `child`, nested indexes with `finalize_index` of such a writer,
    and calls `attach_referrers` and finally `finalize_index`; or `abort`. Referrers of a single image are written by
    children, and `attach_referrers` is called before `finalize`. The writer must take STORED form."""

    together: Hashable = None
    """Equal for outputs whose images can only become visible together, such as those in one file; None for all others.
    """
    deferred = False
    """Set by the core, before `prepare`, if several images of the run have this output's `together`. `finalize` then
    makes nothing visible, and when all of them are copied or have failed, `publish` is called once."""

    commits = False
    """Whether `finalize` can leave it to `commit` to make the image visible, so that several images become visible by
    one write of the destination's list."""
    batched = False
    """Set by the core, before `prepare`, to true if the output `commits` and `finalize` must leave it to `commit`."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    def place(self, reference: Reference) -> Place:
        """Return the place of an image of this name, the same for every spelling of the location.

        The run refuses two images with one place before anything is read; the receipt keeps the place. Makes no
        requests.
        """
        return Place('', f'{self.location.scheme}://{os.path.realpath(self.location.path)}#'
                     f'{reference.with_default_tag()}')

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt that the destination keeps of the image with this name, None if there is no readable one.

        Whether it still holds is found out by verifying it.
        """
        return None

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest of the manifest or index that the destination has under the image's name, read there.

        For destinations that keep no receipts, but whole indexes under the digests that they have at a source. None if
        there is nothing, or if another form was asked for than the source may have. Raises ServiceError.
        """
        return None

    def present_receipt(self, reference: Reference, source: str) -> Receipt:
        """Return a receipt of what `present_digest` has found, from its documents alone; `source` is the receipt's.

        Raises InvalidImage, ImageNotFound, ServiceError.
        """
        raise PluginError(f'{type(self).__name__} has present_digest(), but no present_receipt()')

    def leave_unchanged(self) -> None:
        """Called, instead of everything below, if the image is left as it is: what killed runs left may be removed."""

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError, UsageError or ServiceError if `prepare` would refuse what is copied, such as for what is
        at the destination; writes nothing.

        Called by a dry run, which calls neither `prepare` nor `prepare_index`, before `has_layer`.
        """

    def prepare(self, image: Image) -> None:
        """Check, before anything is read, whether the image can be written here; raises OutputError if not."""

    def prepare_index(self, index: ImageIndex) -> None:
        """Check, before any blob is read, whether the index can be written here; raises OutputError if not."""

    def require_no_index(self, there: Manifest | Index | None, name: str) -> None:
        """Raise OutputError if a single image would replace an index of several platforms, unless --replace-index is
        given.

        For `prepare` of writers that hold indexes: `there` is what has the image's name now.
        """
        platforms = platforms_of(there) if isinstance(there, Index) else ()
        if len(platforms) > 1 and not self.settings.replace_index:
            raise OutputError(f'{name}: an index of {len(platforms)} platforms is there, {", ".join(platforms)}, and '
                              'a single image would replace all of it: copy with --platform=all, name another tag, or '
                              'give --replace-index')

    def child(self) -> 'ImageOutput':
        """Return a writer into the same place for a part of an index, which is found there by its digest alone.

        Several are used in parallel; `has_layer` of each finds the layers that the others wrote. What they share, such
        as connections, is closed by this writer.
        """
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no child()')

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return where the layer already is, with its size, having checked that it is complete; None if it is not
        there.

        Writes nothing, and may be called before `prepare`, by a dry run.
        """
        return None

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob at the destination; None if it is not there or the size is unknown.

        For sources that can omit such blobs and rely on `has_layer` to find the layer. Called on any thread.
        """
        return None

    def omit_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return where a layer would be that a delta leaves out, with Evidence.BASE, and note it for the list of these.

        Called if `has_layer` found nothing, and `settings.base` has the blob; after None it is written. For schemes
        with `deltas`.
        """
        return None

    def note_base(self, digest: Digest, location: Location) -> None:
        """Note where another image of this destination is that should have a blob, for `adopt_layer`.

        Called before `prepare`, for blobs that the source, a delta, leaves out.
        """

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Have the destination take the layer from elsewhere in it, without reading the source.

        Called if `has_layer` found nothing. Returns what `has_layer` returns; after None, `write_layer` is called.
        """
        return None

    @abstractmethod
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write everything that `layer.open()` gives, and return where it is; raises OutputError, ServiceError."""

    @abstractmethod
    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, make the image visible, and return the receipt."""

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Make what children wrote findable as a referrer or under its tag; return what to expect of that."""
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no attach_referrers()')

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index, make it visible, and return `index.receipt(location, documents)`."""
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no finalize_index()')

    def publish(self, outputs: Sequence['ImageOutput']) -> None:
        """Make images visible that only become so together: those of `outputs`, in the order of the run.

        They have been finalized and not aborted; this one is the first. If it raises, all of them have failed, and
        `abort` of each is called.
        """
        raise PluginError(f'{type(self).__name__} declares together, but has no publish()')

    def commit(self) -> Receipt | None:
        """With `batched`: return when the image is visible, and durable; called once after `finalize`.

        It may wait for other images of the run, and is called on another thread than these. Returns the receipt if it
        is another than `finalize` gave. After an error, `abort` is called.
        """
        return None

    def abort(self) -> None:
        """Remove everything temporary.

        Called once, on any thread, after an error or a signal in `prepare` or later; a second time only if a signal
        interrupted the first call. The core waits one second for calls of `write_layer` to end. A call that takes
        longer, or `finalize`, may still run on another thread: it must then leave nothing behind, so make it raise
        Cancelled. An exception raised here is reported together with the reason for the call.
        """
