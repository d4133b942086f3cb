"""The contract of a writer."""
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import (
    LayerForm, OutgoingLayer, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.errors import OutputError, PluginError
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.image.origin import platforms_of
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt


class ImageOutput(ABC):
    """Writes one image to one location.

    The scheme's factory is called once for each image of a run, on the main thread, before any image is opened. It must
    not write, connect or open anything. It raises UsageError for an impossible location. `place` is called next, on the
    same thread.

    On a thread of the image `kept_receipt`, `present_digest` and `present_receipt` may be called, to find out whether
    the image is already at the destination. If it is, or its source fails, no other method is called. Else follow
    `prepare`, once; `stream_layer`, `has_layer`, `adopt_layer` and `write_layer` for each layer, several layers in
    parallel, on the run's worker threads (Settings.jobs); and `finalize`, once. After an error or a signal in any of
    these, `abort` is called instead of the rest. Each image has an output of its own, several of which work in parallel
    (Settings.images). A writer starts no threads for layers, shows no progress, compresses nothing and changes no
    config. Nothing it writes may be visible at its final name before it is complete and, if `settings.sync` is true, on
    the device: it flushes files (fsync) before renaming them, and then the directory with the new name.

    Only `write_layer` and `finalize` must be defined; a writer that makes anything temporary must define `abort`.
    `__init__` sets `self.location` and `self.settings`.
    """

    class LeftOut(OutputError):
        """Raised by `put_documents` for a part that the destination's format cannot hold, such as an attestation: the
        index is written without it, and `notes` say so."""

    layer_form = LayerForm.TAR
    """The form of layers that the writer takes; may be set in `__init__` from options."""
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
    """After `finalize` or `finalize_index`: seconds until the destination showed what had just been written to it."""
    rewritten: Manifest | Index | None = None
    """After `finalize` or `finalize_index`: the document that was written, if the user or the destination required
    another form than the given one. The receipt, and an index that contains the image, refer to this document."""
    layer_store: Hashable = None
    """Identifies the place where `has_layer` and `adopt_layer` find layers written for other images of the run, such as
    a directory or a registry. The core then writes a shared layer once, and calls these methods for the other images.
    None if there is no such place."""
    holds_indexes = False
    """Whether the writer also takes an ImageIndex, artifacts, and referrers. The core then calls `prepare_index`,
    writes the layers of all parts, calls `put_documents` for each image of the index and each nested index,
    `attach_referrers`, and finally `finalize_index`; or `abort`. Referrers of a single image are parts as well, and
    `attach_referrers` is called before `finalize`. The writer must take STORED form."""
    together: Hashable = None
    """Equal for outputs whose images can only become visible together, such as those in one file; None for others."""
    deferred = False
    """Set by the core, before `prepare`, if several images of the run have this output's `together`. `finalize` then
    makes nothing visible, and when all of them are copied or have failed, `publish` is called once."""
    may_go_on = False
    """Set by the core before `abort`: whether the next run may resume this one, because it was interrupted or a service
    did not answer. A writer may then keep parts of layers, hidden, and report them in `kept`."""
    kept: Mapping[Digest, int] = MappingProxyType({})
    """After `abort`: the layers that are kept for the next run, each with the number of bytes kept."""
    kept_at = ''
    """The place where they are kept, for messages; empty if that is the destination's path."""
    commits = False
    """Whether `finalize` can leave it to `commit` to make the image visible, so that one write of the destination's
    list makes several images visible."""
    batched = False
    """Set by the core before `prepare`: whether `finalize` must leave it to `commit`. Only if the output `commits`."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings
        self.parts: list[Expectation] = []
        """The expectations of the parts written by `put_documents`, in order of completion."""
        self.rewritten_parts: dict[Digest, Manifest | Index] = {}
        """Documents that `put_documents` wrote in another form, by the digest of the given one."""

    def place(self, reference: Reference) -> Place:
        """Return the place of an image of this name, the same for every spelling of the location.

        The run refuses two images with one place before anything is read; the receipt keeps the place. Makes no
        requests.
        """
        return Place('', f'{self.location.scheme}://{os.path.realpath(self.location.path)}#'
                     f'{reference.with_default_tag()}')

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt that the destination keeps of the image with this name; None if there is no readable one.

        The core verifies it before it believes it.
        """
        return None

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest of the manifest or index that the destination has under the image's name now.

        For destinations that keep no receipts, but keep whole indexes under the digests of the source. None if there is
        nothing, or if the user requested a form that the source may not have. Raises ServiceError.
        """
        return None

    def present_receipt(self, reference: Reference, source: str) -> Receipt:
        """Return a receipt of what `present_digest` found, made from its documents alone; `source` goes into the
        receipt.

        Raises InvalidImage, ImageNotFound, ServiceError.
        """
        raise PluginError(f'{type(self).__name__} has present_digest(), but no present_receipt()')

    def leave_unchanged(self) -> None:
        """Called instead of everything below if the image is already there and stays as it is; may remove leftovers of
        killed runs."""

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError, UsageError or ServiceError if `prepare` would refuse the image; writes nothing.

        Called by a dry run, which calls neither `prepare` nor `prepare_index`, before `has_layer`.
        """

    def prepare(self, image: Image) -> None:
        """Check, before anything is read, whether the image can be written here; raises OutputError if not."""

    def prepare_index(self, index: ImageIndex) -> None:
        """Check, before any blob is read, whether the index can be written here; raises OutputError if not."""

    def require_no_index(self, there: Manifest | Index | None, name: str) -> None:
        """Raise OutputError if a single image would replace an index of several platforms, unless --replace-index is
        given.

        For `prepare` of writers that hold indexes; `there` is what has the image's name now.
        """
        platforms = platforms_of(there) if isinstance(there, Index) else ()
        if len(platforms) > 1 and not self.settings.replace_index:
            raise OutputError(f'{name} is an index of {len(platforms)} platforms, {", ".join(platforms)}, which a '
                              'single image would replace: copy with --platform=all, choose another tag, or use '
                              '--replace-index')

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        """Write config and manifest of a part, or a nested index; return the expectations of these documents.

        A part is found only by its digest. Called after its layers were written, for several parts in parallel; the
        result is added to `parts`. Raises OutputError, ServiceError, LeftOut.
        """
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no put_documents()')

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return where the complete layer already is, with its size; None if it is missing or incomplete.

        Writes nothing. A dry run calls it without `prepare`. Raises OutputError, ServiceError.
        """
        return None

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob at the destination; None if it is not there or the size is unknown.

        For sources that can omit such blobs and rely on `has_layer` to find the layer. Called on any thread.
        """
        return None

    def omit_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Leave a layer out of a delta: note it for the delta's list, and return where it would be, with Evidence.BASE.

        For schemes with `deltas`. Called if `has_layer` found nothing and `settings.base` has the blob; if it returns
        None, the layer is written.
        """
        return None

    def note_base(self, digest: Digest, location: Location) -> None:
        """Note an image of this destination that should have a blob, for `adopt_layer`.

        Called before `prepare`, for blobs that the source, a delta, leaves out, and for blobs that other workers of a
        bulk run brought.
        """

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Take the layer from elsewhere at the destination, without reading the source, for example by mounting a blob.

        Called if `has_layer` found nothing. Returns what `has_layer` returns; if that is None, `write_layer` is called.
        """
        return None

    def copy_base(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Copy a layer within the destination, from an image that `note_base` named, by reading and writing it.

        Called if `adopt_layer` found nothing either, and the source, a delta, leaves the layer out. Returns what
        `has_layer` returns; if that is None, the image is refused.
        """
        return None

    def stream_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a layer while the core compresses it, so that its digest and size are known only at the end.

        Called first, in STORED form, for layers of a source that has no blobs. `layer.descriptor` is None until a
        stream of `layer.open()` was read to its end. None may also be returned after a failed attempt: the core then
        makes the whole blob, and calls `has_layer`, `adopt_layer` and `write_layer`.
        """
        return None

    @abstractmethod
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write everything that `layer.open()` gives, and return where it is; raises OutputError, ServiceError."""

    @abstractmethod
    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, make the image visible, return the receipt; raises OutputError, ServiceError."""

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Make parts findable as referrers of a digest or by a tag; return the expectations; raises as `finalize`."""
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no attach_referrers()')

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index, make it visible, and return `index.receipt(location, documents)`; raises as `finalize`."""
        raise PluginError(f'{type(self).__name__} declares holds_indexes, but has no finalize_index()')

    def publish(self, outputs: Sequence['ImageOutput']) -> None:
        """Make the images of `outputs`, in the order of the run, visible together.

        All have been finalized and none aborted; this output is the first of them. If it raises, all of them have
        failed, and `abort` of each is called.
        """
        raise PluginError(f'{type(self).__name__} declares together, but has no publish()')

    def commit(self) -> Receipt | None:
        """With `batched`: return when the image is visible and durable; called once after `finalize`.

        It may wait for other images of the run, since it is not called on a thread that copies them. Returns the
        receipt if it differs from the one that `finalize` returned. After an error, `abort` is called.
        """
        return None

    def abort(self) -> None:
        """Remove everything temporary.

        Called once, on any thread, after an error or a signal in `prepare` or later; a second time only if a signal
        interrupted the first call. The core waits one second for calls of `write_layer` to end. A call that takes
        longer, or `finalize`, may still run on another thread: it must then leave nothing behind, so make it raise
        Cancelled. An exception raised here is reported together with the reason for the call.
        """
