"""Adding images to a directory: their documents and receipts, the catalog that lists them, and SHA256SUMS."""
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from occystrap_core import Expectation, InvalidImage, Location, Receipt, Settings, WrittenImage
from occystrap_core.oci import Digest
from occystrap_dir.directory.catalog import (
    CATALOG, Catalog, Entry, place, read_catalog, require_same_origin,
)
from occystrap_dir.directory.checksums import (
    CHECKSUMS, digests_of, digests_of_others, expected_checksums, keeps_checksums, lines_of_others, write_checksums,
)
from occystrap_dir.directory.expanded_files import remove_expansions, spare_expansions
from occystrap_dir.directory.manifests import SINGLE, build_manifest, manifest_names
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.receipts import kept_receipt, with_known_evidence
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace

if TYPE_CHECKING:
    from occystrap_dir.directory.expansion import Expansion


class NewImage:
    """An image whose layers are in the directory, and what remains to be written for it."""

    def __init__(self, workspace: Workspace, location: Location, settings: Settings, image: WrittenImage,
                 expansion: 'Expansion | None') -> None:
        self.workspace, self.unique = workspace, bool(location.options['unique_names'])
        self.replaces = False
        """After `publish`: whether it left files that no image uses any more."""
        self.notes: Sequence[str] = ()
        self._location, self._settings, self._image, self._expansion = location, settings, image, expansion
        self._root = workspace.root
        self._manifest = build_manifest(image, self.unique)
        self._config = f'{image.config.digest.hex}.json'
        self._replaced: Entry | None = None
        self._before: bytes | None = None

    def place_in(self, catalog: Catalog) -> Receipt:
        """Choose the image's entry, without adding it, and return the receipt, without SHA256SUMS.

        Images that are added meanwhile may change the entry. Raises OutputError if the entry has an image from a host.
        """
        entry = place(catalog, self._image.reference, self._root)
        if self.unique and not self._settings.force:
            require_same_origin(entry, self._image.reference, self._root)
        self.entry = entry if self.unique else entry._replace(manifest=SINGLE)
        self.receipt = self._image.receipt(self._location, [
            Expectation('manifest', self.entry.manifest, Digest.of(self._manifest), len(self._manifest)),
            Expectation('config', self._config, self._image.config.digest, len(self._image.config.raw)),
            Expectation('catalog', CATALOG, Digest.of(self.entry.canonical()), len(self.entry.canonical())),
            *self._expanded()])
        return self.receipt

    def add_to(self, catalog: Catalog) -> None:
        """Add the entry; raises OutputError if it would replace unpacked files that were changed."""
        self.place_in(catalog)
        replaced = catalog.find(self.entry.name, self.entry.tag)
        catalog.put(self.entry)
        self._replaced = None if replaced and catalog.with_manifest(replaced.manifest) else replaced
        if self.unique:
            others = [self._replaced.manifest] if self._replaced else []
            spare_expansions(self._root, [self.entry.manifest, *others], self._settings)

    @property
    def documents(self) -> dict[str, bytes]:
        """The config and the manifest."""
        return {self._config: self._image.config.raw, self.entry.manifest: self._manifest}

    def with_checksums(self, catalog: bytes) -> dict[str, bytes]:
        """Return SHA256SUMS with this image, if the directory has that file; the receipt then expects it."""
        if not keeps_checksums(self._root) and not self._location.options.get('checksums'):
            return {}
        expected = expected_checksums(self.receipt, self._root)
        self.receipt = replace(self.receipt, expectations=(*self.receipt.expectations, expected))
        changed = {self.entry.manifest, self._replaced.manifest if self._replaced else None}
        others = [name for name in manifest_names(self._root) if name not in changed]
        return {CHECKSUMS: write_checksums({
            **lines_of_others(self._root), **digests_of_others(self._root, others),
            **digests_of(self.receipt, self._root), CATALOG: Digest.of(catalog)})}

    @property
    def kept(self) -> str:
        """The name of the receipt's file."""
        return f'{RECEIPTS}/{self.entry.manifest}'

    def receipt_to_keep(self) -> bytes:
        """Return the receipt with the stronger evidence and the bringers of an earlier one."""
        lasting = with_known_evidence(self.receipt, kept_receipt(self._root, self.entry.manifest))
        return f'{lasting.to_json()}\n'.encode()

    def withdraw_old(self) -> None:
        """Remove what would be wrong about the image if the run were stopped between two renames; raises OSError."""
        self._before = self._read(self.entry.manifest, len(self._manifest) + 1)
        self.replaces = self._before not in (None, self._manifest)
        self.workspace.place.unlink(self.kept)
        if not self.unique and self._before != self._manifest:
            self.workspace.place.unlink(CATALOG)
        if self._expansion:
            self._expansion.publish(self.workspace, self.entry.manifest)
        else:
            remove_expansions(self._root, [self.entry.manifest])

    def withdraw_new(self, reason: BaseException) -> None:
        """Remove a new manifest that no catalog lists: in a directory of several images, its name would be unknown."""
        if not self.unique or self._before is not None:
            return
        try:
            if not read_catalog(self._root).with_manifest(self.entry.manifest):
                self.workspace.place.unlink(self.entry.manifest)
        except (OSError, InvalidImage) as error:  # the first error is raised
            reason.add_note(f'{self.entry.manifest} may be left in {self._root}: {error}')

    def remove_replaced(self) -> None:
        """Remove the image with another manifest that this one replaces; raises OSError."""
        if self._replaced:
            self.replaces = True
            for name in (f'{RECEIPTS}/{self._replaced.manifest}', self._replaced.manifest):
                self.workspace.place.unlink(name)
            remove_expansions(self._root, [self._replaced.manifest])

    def _expanded(self) -> list[Expectation]:
        """Return the expectation for the unpacked files of the image, if it is unpacked."""
        return [self._expansion.list_files(self.workspace, self.entry.manifest, self._image)] if self._expansion else []

    def _read(self, name: str, cap: int) -> bytes | None:
        """Return the first `cap` bytes of a file, none if it is not a regular file, None if it does not exist."""
        try:
            with open(self.workspace.place.open(name), 'rb') as file:
                return file.read(cap)
        except FileNotFoundError:
            return None
        except WrongKind:
            return b''


def publish(images: Sequence[NewImage], catalog: Catalog) -> None:
    """Write configs, manifests, catalog, checksums and receipts, in this order, and remove the images they replace.

    All documents are first written under temporary names. The caller holds the lock. Raises OutputError, OSError.
    """
    workspace = images[0].workspace
    for image in images:
        image.add_to(catalog)
    listed = catalog.to_json()
    documents = {name: content for image in images for name, content in image.documents.items()}
    documents[CATALOG] = listed
    for image in images:
        documents.update(image.with_checksums(listed))
    documents.update({image.kept: image.receipt_to_keep() for image in images})
    partial = {workspace.write(content): name for name, content in documents.items()}
    with workspace.undisturbed():
        for image in images:
            image.withdraw_old()
        workspace.settle()
        try:
            workspace.move_all(partial)
        except BaseException as error:
            for image in images:
                image.withdraw_new(error)
            raise
        for image in images:
            image.remove_replaced()
