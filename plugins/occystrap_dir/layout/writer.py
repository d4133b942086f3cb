"""Writing layout://: an image layout that may hold many images, manifests and blobs byte for byte as stored."""
from collections.abc import Callable, Sequence
from contextlib import suppress

from occystrap_core import (
    Evidence, Expectation, Image, ImageIndex, ImageNotFound, ImageOutput, InvalidImage, LayerForm, Location,
    OutgoingLayer, Place, Receipt, Settings, VerifyLevel, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest, Entry, Index, IndexFile, Manifest, Reference, blob_name, named_entry
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.blobs import Blobs
from occystrap_dir.layout.existing_layout import check_destination
from occystrap_dir.layout.place import with_tag_as_option
from occystrap_dir.layout.publication import EXPECTED_LAYOUT, NewImage, publish, receipt_name
from occystrap_dir.layout.unnamed import remove_unnamed
from occystrap_dir.workspace.destination import without_rebuilding
from occystrap_dir.workspace.group_commit import GroupCommit
from occystrap_dir.workspace.receipts import receipt_here
from occystrap_dir.workspace.workspace import Workspace


class LayoutOutput(ImageOutput):
    """Writes one image, or an index of several, into a layout that may have other images."""

    layer_form = LayerForm.STORED
    holds_indexes = commits = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._rebuild = settings.rebuild_index or bool(location.options.get('rebuild_index'))
        super().__init__(without_rebuilding(with_tag_as_option(location)), settings)
        self._root = self.location.path
        self.compression = self.location.options['compression'] or 'gzip'
        self.layer_store = 'layout', self._root
        self._workspace = Workspace(self._root, settings.sync, final=blob_name)
        self._blobs = Blobs(self._workspace, settings.verify is VerifyLevel.FULL)
        self._referrers: list[Entry] = []
        self._listed: list[Expectation] = []
        self._left_out: dict[Digest, str] = {}
        self._new: NewImage | None = None

    def place(self, reference: Reference) -> Place:
        """Return the layout, with the image's name in index.json; an image without a name replaces no other."""
        return Place.at(self._root, self._name(reference))

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt of the image with this name; one without a name is known by its digest alone."""
        name = self._name(reference)
        return receipt_here(self._root, receipt_name(name)) if name else None

    def leave_unchanged(self) -> None:
        """Remove leftovers of killed runs."""
        self._workspace.tidy(self._sweep)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError unless the destination is or can become a layout, or if an image would replace an index."""
        name = '' if isinstance(content, ImageIndex) else self._name(content.reference)
        self._require_no_index(check_destination(self._root, self._rebuild), name)

    def prepare(self, image: Image) -> None:
        """Raise OutputError unless the destination is or can become a layout, and has no index of this name."""
        self._begin(image)

    def prepare_index(self, index: ImageIndex) -> None:
        """Raise OutputError unless the destination is or can become a layout."""
        self._begin(index)

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the existing blob if it has the right size and, with full verification, the right digest."""
        assert layer.descriptor
        return self._blobs.find(layer.descriptor)

    def omit_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Note a blob for the annotation of the entry, and return where it would be."""
        assert layer.descriptor and self.settings.base
        digest = layer.descriptor.digest
        self._left_out[digest] = self.settings.base[digest]
        return WrittenLayer(blob_name(digest), digest, layer.descriptor.size, Evidence.BASE)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of an existing blob, after hashing it: less work than letting a daemon compress the
        layer."""
        return self._blobs.size(digest)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a blob; raises OutputError."""
        return self._blobs.write(layer)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest, then the entry in index.json, then the receipt."""
        documents = [*self.put_documents(image), *sorted(self.parts, key=str), *self._listed]
        assert image.manifest
        return self._publish(image.manifest, image.reference, lambda entries: image.receipt(
            self.location, [*entries, *documents]))

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        """Write config and manifest of an image, or an index; raises OutputError."""
        if isinstance(part, WrittenIndex):
            return [self._blobs.put_manifest(part.index)]
        assert part.manifest
        return [self._blobs.put_manifest(part.manifest),
                self._blobs.put('config', part.config.raw, part.config.digest)]

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Remember the entries for index.json, referrers without a name, for `finalize`; return their expectations."""
        self._referrers = [each.entry for each in referrers]
        self._listed = [Expectation.of_entry(entry) for entry in self._referrers]
        return self._listed

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index, after all that it lists, then its entry in index.json, then the receipt."""
        documents = self.put_documents(index)
        return self._publish(index.index, index.reference, lambda entries: index.receipt(
            self.location, [*entries, *documents]))

    def abort(self) -> None:
        """Remove everything that this run wrote and no image refers to, except layers that the next run may continue.

        Raises OutputError for what cannot be removed.
        """
        self.kept = self._workspace.give_up(self._sweep, self.may_go_on)

    def _require_no_index(self, index: IndexFile, name: str) -> None:
        """Refuse to replace several entries of one name by a single image, even if none of them is an index."""
        named = index.named_manifests(name) if name else []
        if not named:
            return
        with suppress(InvalidImage, ImageNotFound):  # a damaged one may be replaced
            present = LayoutStore(self._root).manifest(named[0]) if len(named) == 1 else Index.build(named)
            self.require_no_index(present, f'{self._root}, {name}')

    def _begin(self, content: Image | ImageIndex) -> None:
        """Check the destination, and begin to write; raises OutputError."""
        self.require_possible(content)
        self._workspace.enter()
        with output_errors(self._root):
            for name in ('blobs', 'blobs/sha256'):
                self._workspace.place.make(name)

    def _publish(self, document: Manifest | Index, reference: Reference,
                 receipt_of: Callable[[Sequence[Expectation]], Receipt]) -> Receipt:
        """List a document in index.json; `receipt_of` makes a receipt with the expectations for layout and entry."""
        name = self._name(reference)
        entry = named_entry(document.descriptor, name, self._left_out)
        receipt = receipt_of([EXPECTED_LAYOUT, Expectation.of_entry(entry)])
        self._new = NewImage(self._workspace, [*self._referrers, entry], receipt,
                             receipt_name(name or document.digest.hex))
        if self.batched:
            self._group.add(self._new)
        else:
            self._write([self._new])
            self._published()
        return receipt

    def commit(self) -> None:
        """Return when index.json lists the image, perhaps together with other images of the run."""
        if self.batched and self._new:
            self._group.wait(self._new, self.settings.cancellation.check)
            self._published()

    @property
    def _group(self) -> GroupCommit[NewImage]:
        return self.settings.shared.get((GroupCommit, self._root, self._rebuild), lambda: GroupCommit(self._write))

    def _write(self, images: Sequence[NewImage]) -> None:
        with output_errors(self._root), images[0].workspace.locked():
            publish(images, self._rebuild)

    def _published(self) -> None:
        """Leave the workspace: the image is listed."""
        assert self._new
        self._workspace.leave(not self._new.replaces, self._sweep)
        self.notes = [*self._new.notes, *self._workspace.notes]

    def _name(self, reference: Reference) -> str:
        return self.location.options['tag'] or reference.familiar

    def _sweep(self) -> None:
        remove_unnamed(self._workspace)
