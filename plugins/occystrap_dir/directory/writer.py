"""Writing dir://: a directory in the layout of `docker save`, every layer as its uncompressed tar."""
import os
from dataclasses import replace
from functools import cached_property

from occystrap_core import (
    Evidence, Expectation, Image, ImageIndex, ImageOutput, InvalidImage, LayerForm, Location, OutgoingLayer, Place,
    Receipt, Settings, VerifyLevel, WrittenImage, WrittenLayer,
)
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest, Reference
from occystrap_dir.directory.catalog import (
    CATALOG, Catalog, Entry, is_missing, named_as, place, read_catalog, rebuilt_catalog,
)
from occystrap_dir.directory.checksums import (
    CHECKSUMS, digests_of, digests_of_others, expected_checksums, keeps_checksums, lines_of_others, write_checksums,
)
from occystrap_dir.directory.existing_images import check_destination, require_catalog
from occystrap_dir.directory.expansion import Expansion, remove_expansions, remove_if_empty, spare_expansions
from occystrap_dir.directory.manifests import SINGLE, build_manifest, layer_name, manifest_names
from occystrap_dir.directory.orphans import remove_orphans
from occystrap_dir.workspace.destination import without_rebuilding
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.receipts import kept_receipt, receipt_here, recorded_sizes, with_known_evidence
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace


class DirOutput(ImageOutput):
    """Writes one image into a directory of its own or, with unique_names, one that has several images."""

    layer_form = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(without_rebuilding(location).with_path(os.path.abspath(location.path)), settings)
        self._rebuild = settings.rebuild_index or bool(location.options.get('rebuild_index'))
        self._root = self.location.path
        self._unique = bool(self.location.options['unique_names'])
        self._expansion: Expansion | None = None
        if self.location.options.get('expand'):
            self._expansion = Expansion(self._root, self.location.options, settings)
            self.in_order = self.unpacks = True
        elif self._unique:
            self.layer_store = self._root
        self._workspace = Workspace(self._root, settings.sync, self._expansion.mode if self._expansion else None)
        self._place = self._workspace.place
        self._replaces = False

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
        except (InvalidImage, OSError):
            return None
        return receipt_here(self._root, entry.manifest)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if the destination is not a directory of this layout, not writable, or not empty."""
        check_destination(self._root, self._unique, self._rebuild)
        with output_errors(self._root):
            spare_expansions(self._root, [] if self._unique else [SINGLE], self.settings)

    def prepare(self, image: Image) -> None:
        """Check the destination, and begin to write; raises OutputError."""
        self.require_possible(image)
        self._workspace.enter()
        if self._expansion:
            with output_errors(self._root):
                self._expansion.begin()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the layer in the directory if it has the size in a kept receipt or, without one, the right digest."""
        if layer.diff_id is None:
            return None
        name = layer_name(layer.diff_id.hex)
        try:
            size = self._place.size(name)
            recorded = self._recorded_sizes.get(layer.diff_id)
            if recorded is not None and self.settings.verify is not VerifyLevel.FULL:
                return WrittenLayer(name, layer.diff_id, size, Evidence.DESCRIPTOR) if size == recorded else None
            digest, size = self._place.hash(name, layer.diff_id.algorithm)
        except OSError:
            return None
        return WrittenLayer(name, digest, size, Evidence.STREAMED) if digest == layer.diff_id else None

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Stream the tar to a temporary file and rename it after its digest; raises OutputError."""
        if self._expansion and (found := self.has_layer(layer)):
            self._expansion.add_present(layer, found)
            return found
        with self._workspace.partial() as partial, layer.open() as stream:
            stream.copy_to(partial.write)
            if self._expansion:
                self._expansion.add(stream)
            else:
                stream.drain()
            partial.complete()
            name = layer_name(stream.digest.hex)
            self._workspace.move(partial.name, name)
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config, manifest, catalog, checksums and receipt, in this order, and remove the image they replace."""
        with output_errors(self._root), self._workspace.locked():
            catalog = self._catalog() if self._unique else Catalog()
            entry = self._entry(catalog, image)
            replaced = catalog.entries.get((entry.name, entry.tag))
            catalog.put(entry)
            if replaced and replaced.manifest in {each.manifest for each in catalog}:
                replaced = None
            if self._unique:
                others = [replaced.manifest] if replaced else []
                spare_expansions(self._root, [entry.manifest, *others], self.settings)
            receipt = self._commit(image, entry, catalog, replaced)
            if replaced:
                self._replaces = True
                self._remove(f'{RECEIPTS}/{replaced.manifest}', replaced.manifest)
                remove_expansions(self._root, [replaced.manifest])
        self._workspace.leave(clean=not self._replaces, sweep=self._sweep)
        self.notes = [*self.notes, *(self._expansion.notes if self._expansion else ()),
                      *self._workspace.notes]
        return receipt

    def abort(self) -> None:
        """Remove all that this run wrote and no manifest names; raises OutputError for what cannot be removed."""
        if self._expansion:
            with self._workspace.noting():
                self._expansion.abort()
        self._workspace.give_up(self._sweep)

    def _catalog(self) -> Catalog:
        """Return the catalog, rebuilt if it is damaged and rebuilding was requested; raises OutputError, OSError."""
        try:
            if not self._rebuild or not is_missing(self._root):
                return read_catalog(self._root)
        except InvalidImage:
            if not self._rebuild:
                require_catalog(self._root)
        catalog, note = rebuilt_catalog(self._root)
        self.notes = [note]
        return catalog

    def _entry(self, catalog: Catalog, image: WrittenImage) -> Entry:
        entry = place(catalog, image.reference, self._root)
        return entry if self._unique else entry._replace(manifest=SINGLE)

    def _commit(self, image: WrittenImage, entry: Entry, catalog: Catalog, replaced: Entry | None) -> Receipt:
        """Write all documents under temporary names, then give them their final ones; return the receipt."""
        manifest, config = build_manifest(image, self._unique), f'{image.config.digest.hex}.json'
        kept = f'{RECEIPTS}/{entry.manifest}'
        receipt = image.receipt(self.location, [
            Expectation('manifest', entry.manifest, Digest.of(manifest), len(manifest)),
            Expectation('config', config, image.config.digest, len(image.config.raw)),
            Expectation('catalog', CATALOG, Digest.of(entry.canonical()), len(entry.canonical())),
            *self._expanded(entry, image)])
        documents = {config: image.config.raw, entry.manifest: manifest, CATALOG: catalog.to_json()}
        if keeps_checksums(self._root) or self.location.options.get('checksums'):
            receipt = replace(receipt, expectations=(*receipt.expectations, expected_checksums(receipt, self._root)))
            documents[CHECKSUMS] = self._checksums(receipt, documents[CATALOG], replaced)
        lasting = with_known_evidence(receipt, kept_receipt(self._root, entry.manifest))
        documents[kept] = f'{lasting.to_json()}\n'.encode()
        partial = {self._workspace.write(content): name for name, content in documents.items()}
        before = self._read(entry.manifest, len(manifest) + 1)
        self._replaces = before not in (None, manifest)
        self._workspace.settle()
        # If the run is stopped between two renames, no receipt or catalog of the replaced image is left.
        self._remove(kept, *([] if self._unique or before == manifest else [CATALOG]))
        if self._expansion:
            self._expansion.publish(self._workspace, entry.manifest)
        else:
            remove_expansions(self._root, [entry.manifest])
        try:
            for temporary, name in partial.items():
                self._workspace.move(temporary, name)
        except BaseException as error:
            if self._unique and before is None:
                self._withdraw(entry.manifest, error)
            raise
        return receipt

    def _withdraw(self, manifest: str, reason: BaseException) -> None:
        """Remove a new manifest that no catalog lists: among several images, its name would be unknown."""
        try:
            if manifest not in {each.manifest for each in read_catalog(self._root)}:
                self._place.unlink(manifest)
        except (OSError, InvalidImage) as error:  # the first error is raised
            reason.add_note(f'{manifest} may be left in {self._root}: {error}')

    def _expanded(self, entry: Entry, image: WrittenImage) -> list[Expectation]:
        """Return the expectation for the unpacked files of the image, if it is unpacked."""
        return [self._expansion.list_files(self._workspace, entry.manifest, image)] if self._expansion else []

    def _checksums(self, receipt: Receipt, catalog: bytes, replaced: Entry | None) -> bytes:
        """Return the content of SHA256SUMS with this image in it."""
        changed = {receipt.of_kind('manifest')[0].locator, replaced.manifest if replaced else None}
        others = [name for name in manifest_names(self._root) if name not in changed]
        return write_checksums({**lines_of_others(self._root), **digests_of_others(self._root, others),
                                **digests_of(receipt, self._root), CATALOG: Digest.of(catalog)})

    def _read(self, name: str, cap: int) -> bytes | None:
        """Return the first `cap` bytes of a file, none if it is not a regular file, None if it does not exist."""
        try:
            with open(self._place.open(name), 'rb') as file:
                return file.read(cap)
        except FileNotFoundError:
            return None
        except WrongKind:
            return b''

    def _remove(self, *names: str) -> None:
        for name in names:
            self._place.unlink(name)

    def _sweep(self) -> None:
        remove_orphans(self._root)
        remove_if_empty(self._root)

    @cached_property
    def _recorded_sizes(self) -> dict[Digest, int]:
        return recorded_sizes(self._root)
