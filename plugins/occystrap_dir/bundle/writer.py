"""Writing oci://: the files of an image in a directory, with the config.json that runtimes need."""
import os
from typing import BinaryIO

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageOutput, LayerForm, Location, OutgoingLayer, Place, Receipt, Settings,
    WrittenImage, WrittenLayer,
)
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_dir.bundle.bundle_paths import CONFIG, FILES, KEPT, MARKS, ROOTFS
from occystrap_dir.bundle.runtime_config import runtime_config, unsafe_labels
from occystrap_dir.bundle.users import Accounts
from occystrap_dir.extraction.privacy import NOT_OTHERS
from occystrap_dir.extraction.staged_directory import Staging, check_place, may_replace
from occystrap_dir.extraction.tree_files import read_small
from occystrap_dir.extraction.unpacked_tree import Limits, Unpacking
from occystrap_dir.file_list.unchanged import require_documents, require_unchanged
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.destination import require_same_repository
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.receipts import kept_receipt, receipt_here


class BundleOutput(ImageOutput):
    """Writes one image as a bundle of the OCI runtime specification."""

    layer_form = LayerForm.TAR
    in_order = unpacks = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location.with_path(Place.absolute(location.path)), settings)
        self._limits = Limits(self.location.options)
        above, name = os.path.split(os.path.realpath(self.location.path))
        self._staging = Staging(Beneath(above), name, settings.sync, lambda names: may_replace(names, MARKS))
        self._unpacking = Unpacking(self._staging, self.location.path, self._limits, settings.sync)
        self._content: Image | None = None

    def place(self, reference: Reference) -> Place:
        """Return the directory: a bundle has one image."""
        return Place.at(self.location.path)

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the bundle's receipt, whatever the name of its image."""
        return receipt_here(self.location.path, os.path.basename(KEPT))

    def leave_unchanged(self) -> None:
        """Remove leftovers of killed runs beside the bundle."""
        self._staging.tidy()

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if a bundle cannot be written here, or would replace one that was changed or has another
        image."""
        check_place(self.location.path, MARKS, 'bundle')
        kept = kept_receipt(self.location.path, os.path.basename(KEPT))
        require_same_repository(self.location.path, [str(kept.reference)] if kept else [], content, self.settings)
        self._spare_changes()

    def prepare(self, image: Image) -> None:
        """Check the destination, and begin a bundle beside it; raises OutputError."""
        self._content = image
        self.require_possible(image)
        self._unpacking.begin(ROOTFS)

    def _look_again(self) -> None:
        """Refuse to replace what another run has written meanwhile, or somebody has changed; raises OutputError."""
        if self._content and os.path.lexists(self.location.path):
            self.require_possible(self._content)

    def _spare_changes(self) -> None:
        """Refuse to replace a bundle that was changed since it was written; raises OutputError."""
        root = self.location.path
        if os.path.lexists(root):
            with output_errors(root):
                require_unchanged(root, ROOTFS, self.settings, FILES)
                kept = kept_receipt(root, os.path.basename(KEPT))
                configs = kept.of_kind('runtime-config') if kept else ()
                require_documents(root, [(each.locator, each.digest) for each in configs], self.settings)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Apply a layer over those before it; raises InvalidImage, OutputError."""
        with layer.open() as stream:
            self._unpacking.add(stream)
        return WrittenLayer(ROOTFS)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config.json and the list of files, and move the bundle to its destination."""
        config = self._runtime_config(image)
        with output_errors(self.location.path):
            for name in (STATE, os.path.dirname(KEPT)):
                self._staging.inside.make(name, 0o777 & NOT_OTHERS)
            with self._new_file(FILES) as file:
                digest, size = self._unpacking.finish(file.write, image.config.digest)
            files = Expectation('files', FILES, digest, size, covers=(image.config.digest, *image.config.diff_ids))
            receipt = image.without_layers().receipt(self.location, [
                Expectation('runtime-config', CONFIG, Digest.of(config), len(config)), files])
            for name, content in ((CONFIG, config), (KEPT, f'{receipt.to_json()}\n'.encode())):
                with self._new_file(name) as file:
                    file.write(content)
        self._staging.commit(mode=self._limits.mode, check=self._look_again)
        self.notes = [*self._limits.notes, *_notes_on_labels(image.config)]
        return receipt

    def abort(self) -> None:
        """Remove all that was written; raises OSError."""
        self._unpacking.abort()

    def _runtime_config(self, image: WrittenImage) -> bytes:
        root = self._unpacking.tree.root
        accounts = Accounts.parse(read_small(root, b'etc/passwd'), read_small(root, b'etc/group'))
        return runtime_config(image.config, accounts, bool(self.location.options['rootless']))

    def _new_file(self, name: str) -> BinaryIO:
        return open(self._staging.inside.create(name, 0o666 & NOT_OTHERS), 'wb')


def _notes_on_labels(config: ImageConfig) -> list[str]:
    left_out = ', '.join(unsafe_labels(config))
    return [f'labels left out of {CONFIG}, as runtimes would act on them: {left_out}'] if left_out else []
