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
from occystrap_core.verification.receipt import MERGED, Evidence, Expectation, Receipt


class LayerForm(Enum):
    """The form in which a writer wants layers."""

    STORED = 'stored'
    TAR = 'tar'


class OutgoingLayer(Protocol):
    """A layer as a writer sees it: in the form it wants, counted and hashed by the core while it is read."""

    @property
    def index(self) -> int:
        """The place in the image, 0 the lowest; -1 while that is not known."""

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the tar, None while only reading can tell."""

    @property
    def descriptor(self) -> Descriptor | None:
        """The blob that `open` gives, always there in STORED form; None in TAR form."""

    @property
    def filtered(self) -> bool:
        """Whether a filter may make another layer of it than the source has, of another size than the hint's."""

    def tar_size(self) -> int | None:
        """Return a hint of the tar's size in bytes, None without one."""

    def open(self) -> ByteStream:
        """Open the layer from its first byte; a writer that sends again opens again. Close it after use."""


class WrittenLayer(NamedTuple):
    """What a writer says of a layer: where it is, and nothing about its bytes unless it checked them itself.

    `size` and `digest` are given by `has_layer` alone, of what is there; the core fills them in for what it streamed.
    """

    locator: str
    digest: Digest | None = None
    size: int | None = None
    evidence: Evidence = Evidence.DESCRIPTOR


@dataclass(frozen=True)
class PlacedLayer:
    """A layer of a written image: digest and size are of the bytes at `locator`, in the writer's form."""

    index: int
    diff_id: Digest
    descriptor: Descriptor | None
    locator: str
    digest: Digest
    size: int
    evidence: Evidence


class WrittenImage(NamedTuple):
    """An image whose layers are all in place: what `finalize` gets.

    `manifest` is the source's, byte for byte, where no layer changed, a new one where one did or the source has none;
    None for writers of TAR form whose source has none. `config` holds the bytes that must be written. `place` and
    `source_digest` are for the receipt.
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

    def without_layers(self) -> 'WrittenImage':
        """Return this image for a receipt that expects no layers, as they went into one tree, which covers them."""
        return self._replace(layers=(), merged=True)

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                locate: Callable[[PlacedLayer], str] = lambda layer: layer.locator,
                ) -> Receipt:
        """Return the receipt: `documents` as the writer made them, then each layer as the core saw it."""
        layers = [Expectation('layer', locate(layer), layer.digest, layer.size, layer.evidence,
                              () if layer.diff_id == layer.digest else (layer.diff_id,)) for layer in self.layers]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.config.digest, tuple(self.config.diff_ids),
                       tuple(dict.fromkeys([*documents, *layers])), self.manifest.digest if self.manifest else None,
                       self.place, self.source_digest, MERGED if self.merged else self.form.value)


class WrittenAttachment(NamedTuple):
    """Something that hangs on an image and lies at the destination by its digest: as a referrer, or under a tag."""

    document: Manifest | Index
    subject: Digest | None = None
    tag: str = ''


@dataclass(frozen=True)
class WrittenIndex:
    """An index whose parts are all at the destination: what `finalize_index` gets.

    `index` holds the bytes that must be written: the source's own where everything was taken unchanged. `parts` are
    the receipts of all that lies below it, `attached` what to expect of what hangs on that.
    """

    reference: Reference
    source: str
    index: Index
    parts: Sequence[Receipt] = ()
    attached: Sequence[Expectation] = ()
    place: str = ''
    source_digest: Digest | None = None

    def receipt(self, location: Location, documents: Sequence[Expectation], *, reference: Reference | None = None,
                ) -> Receipt:
        """Return one receipt for the whole: `documents` as the writer made them, then what the parts' receipts hold."""
        expected = [*documents, *(each for part in self.parts for each in part.expectations), *self.attached]
        return Receipt(location.scheme, location.path, dict(location.given), str(reference or self.reference),
                       self.source, self.index.digest, (), merged(expected), self.index.digest, self.place,
                       self.source_digest, LayerForm.STORED.value,
                       tuple(part for receipt in self.parts for part in receipt.all_parts()))


def merged(expectations: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """Return each expected thing once, in order, with the better evidence where there are two."""
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

    The scheme's factory is called once for each image of a run, on the main thread, before any image is opened: it must
    not write, connect or open anything, since an image that turns out to be there already, or whose source fails, needs
    no output, and then nothing else is called. It raises UsageError for a location that can be none. `place` is called
    next, on the same thread.

    Then, on a thread of the image: `prepare` once; `has_layer`, `adopt_layer` and `write_layer` for each layer, several
    layers at once, on the run's worker threads (Settings.jobs); `finalize` once. After an error or a signal in any of
    these `abort` is called in place of what would come next. Different images have different outputs, several at work
    at once (Settings.images). A writer starts no threads for layers, draws no progress, compresses nothing and changes
    no config. Nothing it writes may be visible at its final name before it is whole and, if `settings.sync` is true, on
    the device: it flushes files (fsync) before their rename, and the directory that has the new name after it.
    """

    wants = LayerForm.TAR
    """The form of layers that it takes; may be set in __init__ from options."""
    compression = 'gzip'
    """For STORED: the key of COMPRESSIONS with which the core compresses a layer that has no blob."""
    in_order = False
    """Whether layers are given one after the other, the lowest first, one that is listed twice both times; then
    `has_layer` is not asked. With a source that streams them in another order, some wait in temporary files."""
    unpacks = False
    """Whether it has more to do with the bytes of a layer, in TAR form, than to move them: all that can be done with
    them before is then done on another thread."""
    notes: Sequence[str] = ()
    """After `finalize`: lines for people about what could not be kept, such as owners without being root."""
    layer_store: Hashable = None
    """Names the place where `has_layer` or `adopt_layer` finds what other images of the run wrote, such as a directory
    or a registry: the core then lets one of them bring a layer, and asks for it on behalf of the others. None if there
    is no such place."""
    holds_indexes = False
    """Whether it also takes an ImageIndex, artifacts, and what hangs on an image. Then the core calls `prepare_index`,
    has each image below the index written by a writer of its own from `child`, nested indexes by `finalize_index` of
    such a writer, calls `attach`, and at last `finalize_index`; or `abort`. With an image that something hangs on,
    that is written by children and `attach` called before `finalize`. It must want STORED form."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.location, self.settings = location, settings

    def place(self, reference: Reference) -> Place:
        """Return the place that an image of this name takes, the same however users write the location.

        The run refuses two images for one place, before anything is read; the receipt keeps it. Asks nobody.
        """
        return Place('', f'{self.location.scheme}://{os.path.realpath(self.location.path)}#'
                     f'{reference.with_default_tag()}')

    def prepare(self, image: Image) -> None:
        """Look before anything is read whether the image can be written here; raises OutputError if not."""

    def prepare_index(self, index: ImageIndex) -> None:
        """Look before any blob is read whether the index can be written here; raises OutputError if not."""

    def spare_index(self, there: Manifest | Index | None, name: str) -> None:
        """Raise OutputError if an index of several platforms is where a single image would go, unless --replace-index.

        For `prepare` of those that hold indexes: `there` is what has the image's name now.
        """
        platforms = platforms_of(there) if isinstance(there, Index) else ()
        if len(platforms) > 1 and not self.settings.replace_index:
            raise OutputError(f'{name}: an index of {len(platforms)} platforms is there, {", ".join(platforms)}, and '
                              'a single image would replace all of it: copy with --platform=all, name another tag, or '
                              'give --replace-index')

    def child(self) -> 'ImageOutput':
        """Return a writer into the same place for a part of an index, which can be found there by its digest alone.

        Several of them are used at once; `has_layer` of each finds what the others brought. What they have in common,
        such as connections, is this writer's to close.
        """
        raise PluginError(f'{type(self).__name__} says that it holds indexes, but has no child()')

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return where the layer already is, having checked that it is whole, with its size; None if it is not there.

        Writes nothing, and may be called before `prepare`: a dry run asks too.
        """
        return None

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that is there already, None if it is not, or if that cannot be told.

        For sources that are spared work by it, and then rely on `has_layer` to find the layer. Called on any thread.
        """
        return None

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Have the layer put in its place from elsewhere at the destination, without its source being read.

        Called when `has_layer` found nothing; returns as that does, None to be given the layer.
        """
        return None

    @abstractmethod
    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write what `layer.open()` gives, to its end, and return where it is; raises OutputError, ServiceError."""

    @abstractmethod
    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, make all visible, and return the receipt."""

    def attach(self, attachments: Sequence[WrittenAttachment]) -> Sequence[Expectation]:
        """Have what was written by children found as a referrer or under its tag; return what to expect of that."""
        raise PluginError(f'{type(self).__name__} says that it holds indexes, but has no attach()')

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index, make it visible, and return `index.receipt(location, documents)`."""
        raise PluginError(f'{type(self).__name__} says that it holds indexes, but has no finalize_index()')

    def abort(self) -> None:
        """Remove everything temporary.

        Called once, after an error or a signal in `prepare` or after it, on any thread; a second time only if a signal
        broke into the first. The core waits a second for calls of `write_layer` to end. One that hangs longer, or
        `finalize`, may still be at work on another thread, or go on later: what it does then must leave nothing, so
        have it raise Cancelled. What is raised here is told together with the reason for the call.
        """
