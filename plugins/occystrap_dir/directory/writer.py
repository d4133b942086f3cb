"""Writing dir://: a directory in the layout of `docker save`, every layer as its uncompressed tar."""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from occystrap_core import (
    Evidence, Image, ImageIndex, ImageOutput, InvalidImage, LayerForm, Location, OutgoingLayer,
    OutputError, Place, Receipt, Settings, UsageError, VerifyLevel, WrittenImage, WrittenLayer,
)
from occystrap_core.files import LEAST_BESIDE, ByteStream, output_errors, written_through
from occystrap_core.oci import Reference
from occystrap_dir.directory.catalog import (
    Catalog, is_missing, named_as, place, read_catalog, require_same_origin,
)
from occystrap_dir.directory.checksums import keeps_checksums
from occystrap_dir.directory.existing_images import check_destination, names_of_single, require_catalog
from occystrap_dir.directory.expanded_files import remove_if_empty, spare_expansions
from occystrap_dir.directory.manifests import SINGLE, name_of_layer
from occystrap_dir.directory.new_image import NewImage, publish
from occystrap_dir.directory.orphans import remove_orphans
from occystrap_dir.workspace.destination import require_same_repository, without_rebuilding
from occystrap_dir.workspace.group_commit import GroupCommit
from occystrap_dir.workspace.kept_blobs import LEAST
from occystrap_dir.workspace.locks import shared_if_exists
from occystrap_dir.workspace.receipts import RecordedSizes, receipt_here
from occystrap_dir.workspace.workspace import LOCK, Workspace

if TYPE_CHECKING:
    from occystrap_dir.directory.expansion import Expansion


class DirOutput(ImageOutput):
    """Writes one image into a directory of its own or, with unique_names, one that has several images."""

    layer_form = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(without_rebuilding(location).with_path(Place.absolute(location.path)), settings)
        self._rebuild = settings.rebuild_index or bool(location.options.get('rebuild_index'))
        self._root = self.location.path
        self._unique = bool(self.location.options['unique_names'])
        self._expansion = self._made_expansion() if self.location.options.get('expand') else None
        if self.location.options.get('mode') and not self._expansion:
            raise UsageError('mode= is that of a directory with unpacked files: add expand=true, or leave it out')
        if self._expansion:
            self.in_order = self.unpacks = True
        elif self._unique:
            self.layer_store = self._root
        self._workspace = Workspace(self._root, settings.sync, self._expansion.mode if self._expansion else None,
                                    name_of_layer)
        self._place = self._workspace.place
        self._new: NewImage | None = None
        self._content: Image | None = None
        self.commits = self._unique and not self._expansion and not self.location.options.get('checksums')

    def place(self, reference: Reference) -> Place:
        """Return the directory, with the image's name and host if it may hold several."""
        if not self._unique:
            return Place.at(self._root)
        return Place.at(self._root, str(named_as(reference)), reference.host)

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt of the only image, or of the one that the catalog has under this name."""
        if not self._unique:
            return receipt_here(self._root, SINGLE)
        try:
            entry = place(read_catalog(self._root), reference, self._root)
            require_same_origin(entry, reference, self._root)
        except (InvalidImage, OutputError, OSError):
            return None
        return receipt_here(self._root, entry.manifest)

    def leave_unchanged(self) -> None:
        """Remove leftovers of killed runs."""
        self._workspace.tidy(self._sweep)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if the destination is not a directory of this layout, not writable, not empty, or has
        another image under this name.

        What seems wrong is looked at once more when no other run publishes, since half of that may have been seen.
        """
        check_destination(self._root, self._unique, self._rebuild)
        try:
            self._require_replaceable(content)
        except OutputError:
            with output_errors(self._root), shared_if_exists(self._root, LOCK):
                self._require_replaceable(content)

    def _require_replaceable(self, content: Image | ImageIndex) -> None:
        with output_errors(self._root):
            spare_expansions(self._root, [] if self._unique else [SINGLE], self.settings)
            if self._unique and isinstance(content, Image) and not self.settings.force:
                require_same_origin(place(self._listed(), content.reference, self._root), content.reference, self._root)
            elif not self._unique:
                require_same_repository(self._root, names_of_single(self._root), content, self.settings)

    def prepare(self, image: Image) -> None:
        """Check the destination, and begin to write; raises OutputError."""
        self._content = image
        self.require_possible(image)
        self._workspace.enter()
        if self._expansion:
            with output_errors(self._root):
                self._expansion.begin()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the layer in the directory if it has the size in a kept receipt or, without one, the right digest."""
        if layer.diff_id is None:
            return None
        name = name_of_layer(layer.diff_id)
        try:
            size = self._place.size(name)
            recorded = self._sizes.find(layer.diff_id)
            if recorded is not None and self.settings.verify is not VerifyLevel.FULL:
                return WrittenLayer(name, layer.diff_id, size, Evidence.DESCRIPTOR) if size == recorded else None
            digest, size = self._place.hash(name, layer.diff_id.algorithm)
        except OSError:
            return None
        return WrittenLayer(name, digest, size, Evidence.STREAMED) if digest == layer.diff_id else None

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Take a layer that an interrupted run kept, after hashing it; raises OutputError."""
        if layer.diff_id is None:
            return None
        blob = layer.source_blob
        uncompressed = blob and blob.digest == layer.diff_id  # then a part of it may be kept under the same name
        size = self._workspace.adopt(layer.diff_id, blob.size if blob and uncompressed else None)
        if size is None:
            return None
        self._sizes.add(layer.diff_id, size)
        return WrittenLayer(name_of_layer(layer.diff_id), layer.diff_id, size, Evidence.STREAMED, kept=True)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Stream the tar to a temporary file and rename it by its digest; raises OutputError.

        Of a large blob, the bytes received so far are kept if this is interrupted, since a tar cannot be continued
        within a gzip stream.
        """
        if self._expansion and (found := self.has_layer(layer) or self.adopt_layer(layer)):
            self._expansion.add_present(layer, found)
            return found
        blob = layer.source_blob
        if self._expansion or blob is None or blob.size < LEAST_BESIDE:
            return self._write_layer(layer.open)
        with self._workspace.beside(blob) as held:
            return written_through(held, lambda: self._write_layer(lambda: layer.open(held)))

    def _write_layer(self, opener: Callable[[], ByteStream]) -> WrittenLayer:
        with self._workspace.partial() as partial, opener() as stream:
            stream.tee(partial.write)
            if self._expansion:
                self._expansion.add(stream)
            else:
                stream.drain()
            partial.complete()
            name = name_of_layer(stream.digest)
            if stream.size >= LEAST:
                self._workspace.note_blob(stream.digest)
            self._workspace.move(partial.name, name)
            self._sizes.add(stream.digest, stream.size)
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config, manifest, catalog, checksums and receipt, in this order, and remove the image they replace."""
        if image.manifest:
            self._workspace.release(each.digest for each in image.manifest.layers)
        new = self._new = NewImage(self._workspace, self.location, self.settings, image, self._expansion)
        if self.batched:
            with output_errors(self._root):
                receipt = new.place_in(self._listed())
            self._group.add(new)
            return receipt
        self._write([new])
        self._published(new)
        return new.receipt

    def commit(self) -> Receipt | None:
        """Return when the catalog lists the image, perhaps together with other images of the run.

        If another program has meanwhile taken the name of its manifest, the receipt is a new one.
        """
        if not self.batched or self._new is None:
            return None
        self._group.wait(self._new, self.settings.cancellation.check)
        self._published(self._new)
        return self._new.receipt

    @property
    def _group(self) -> GroupCommit[NewImage]:
        return self.settings.shared.get((GroupCommit, self._root, self._rebuild), lambda: GroupCommit(self._write))

    def _listed(self) -> Catalog:
        try:
            return read_catalog(self._root)
        except InvalidImage:  # which the commit repairs or refuses
            return Catalog()

    def _write(self, images: Sequence[NewImage]) -> None:
        alone = keeps_checksums(self._root)  # each update starts from the file
        with output_errors(self._root), images[0].workspace.locked():
            if self._content and not self._unique:  # another run may have finished meanwhile
                self._require_replaceable(self._content)
            for group in [[image] for image in images] if alone else [images]:
                catalog, notes = self._catalog() if self._unique else (Catalog(), [])
                publish(group, catalog)
                group[0].notes = notes

    def _published(self, new: NewImage) -> None:
        """Leave the workspace: the image is listed."""
        self._workspace.leave(clean=not new.replaces, sweep=self._sweep)
        self.notes = [*new.notes, *(self._expansion.notes if self._expansion else ()), *self._workspace.notes]

    def abort(self) -> None:
        """Remove everything that this run wrote and no manifest refers to, except layers that the next run may
        continue.

        Raises OutputError for what cannot be removed.
        """
        self._workspace.stop()
        if self._expansion:
            with self._workspace.noting():
                self._expansion.abort()
        self.kept = self._workspace.give_up(self._sweep, self.may_go_on)

    def _catalog(self) -> tuple[Catalog, list[str]]:
        """Return the catalog; a damaged one is rebuilt, with a note, if that was requested.

        Raises OutputError, OSError.
        """
        try:
            if not self._rebuild or not is_missing(self._root):
                return read_catalog(self._root).copy(), []
        except InvalidImage:
            if not self._rebuild:
                require_catalog(self._root)
        from occystrap_dir.directory.rebuilt_catalog import rebuilt_catalog  # late, as few catalogs are lost
        catalog, note = rebuilt_catalog(self._root)
        return catalog, [note]

    def _made_expansion(self) -> 'Expansion':
        from occystrap_dir.directory.expansion import Expansion  # late, as few images are unpacked
        return Expansion(self._root, self.location.options, self.settings)

    def _sweep(self) -> None:
        remove_orphans(self._workspace)
        remove_if_empty(self._root)

    @property
    def _sizes(self) -> RecordedSizes:
        return self.settings.shared.get((RecordedSizes, self._root), lambda: RecordedSizes(self._root))
