"""Writing mounts://: every layer unpacked into a directory of its own, for overlayfs."""
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from occystrap_core import (
    Evidence, Expectation, Image, ImageIndex, ImageOutput, LayerForm, Location, OutgoingLayer,
    OutputError, Place, Receipt, Settings, VerifyLevel, WrittenImage, WrittenLayer,
)
from occystrap_core.files import output_errors
from occystrap_core.oci import Digest, Reference
from occystrap_dir.extraction.privacy import NOT_OTHERS, take_over
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.extraction.unpacked_tree import Limits, Unpacking
from occystrap_dir.file_list.head import ListedLayer
from occystrap_dir.file_list.unchanged import require_unchanged
from occystrap_dir.mounts.layer_directories import is_whole, listed_layer, remove_unnamed
from occystrap_dir.mounts.kept_catalog import catalog_in, image_name
from occystrap_dir.mounts.mount_files import (
    CATALOG, EMPTY, LAYERS, SCRIPT, TREES, UNPACKING, USER_MARKS, Mounted, cover_directory, kept_name, layer_directory,
    require_mountable, tree_name,
)
from occystrap_dir.mounts.overlay_marks import OverlayMarks, mount_script
from occystrap_dir.mounts.stack import Stack
from occystrap_dir.workspace.destination import check_directory, without_rebuilding
from occystrap_dir.workspace.partial_files import STATE
from occystrap_dir.workspace.receipts import receipt_here, recorded_lists
from occystrap_dir.workspace.removal import remove_tree
from occystrap_dir.workspace.workspace import RECEIPTS, Workspace

_OURS = {CATALOG, SCRIPT, LAYERS, STATE}


class MountsOutput(ImageOutput):
    """Writes one image into a directory of several, which share layers."""

    layer_form = LayerForm.TAR
    unpacks = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(without_rebuilding(location).with_path(Place.absolute(location.path)), settings)
        self._rebuild = settings.rebuild_index or bool(location.options.get('rebuild_index'))
        self._taken_away: list[str] = []
        self._root = self.location.path
        self._limits = Limits(self.location.options)
        self._workspace = Workspace(self._root, settings.sync, self._limits.mode)
        self._place = self._workspace.place
        self.layer_store = 'mounts', self._root
        self._user_marks = not self._limits.setter.is_root
        self._unpackings: list[Unpacking] = []
        self._is_full = settings.verify is VerifyLevel.FULL
        self._of_run: set[tuple[str, Digest]] = settings.shared.get(('lists of files', self._root), set)
        """The lists of the trees that this run unpacked."""

    def place(self, reference: Reference) -> Place:
        """Return the directory, with the image's name in mount.json."""
        return Place.at(self._root, image_name(reference))

    def kept_receipt(self, reference: Reference) -> Receipt | None:
        """Return the receipt of the image with this name."""
        return receipt_here(self._root, kept_name(image_name(reference)))

    def leave_unchanged(self) -> None:
        """Remove leftovers of killed runs."""
        self._workspace.tidy(self._sweep)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if the layers cannot be written here, or are too many to be mounted."""
        self._check_place()
        if isinstance(content, Image):
            require_mountable(Mounted('', '', [layer_directory(diff_id) for diff_id in content.diff_ids]))

    def prepare(self, image: Image) -> None:
        """Check the destination and begin to write, before anything is read; raises OutputError."""
        self.require_possible(image)
        self._workspace.enter()
        with output_errors(self._root):
            for name in (TREES, EMPTY):
                self._place.make(name, 0o777 & NOT_OTHERS)
            self._keep_others_from_writing()
            if mode := self.location.options['mode']:
                self._place.set_mode('', mode)
            self._place.make_private(LAYERS, self._limits.mode)
            self._place.make_private(UNPACKING)
            self._agree_on_marks()

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the existing layer if its files match its list, and the list is known to be made from this diff_id.

        That is proved by a kept receipt; with FULL verification, which also reads the files, only if this run wrote the
        layer. The tree itself cannot prove it, since its tar cannot be restored.
        """
        if layer.diff_id is None:
            return None
        directory = layer_directory(layer.diff_id)
        listed = listed_layer(self._root, directory)
        if not listed or listed.diff_id != layer.diff_id or not self._is_bound(directory):
            return None
        if not is_whole(self._root, tree_name(directory), directory, self._is_full, self.settings):
            return None
        return WrittenLayer(directory, layer.diff_id, listed.size, Evidence.DESCRIPTOR)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Unpack a layer under a temporary name, and rename it after its digest; raises InvalidImage, OutputError."""
        with self._unpacking() as unpacking, layer.open() as stream:
            unpacking.add(stream)
            directory = layer_directory(stream.digest)
            self._publish(unpacking, directory)
        return WrittenLayer(directory)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write mount.json, mount.sh and the receipt."""
        name = image_name(image.reference)
        cover = self._cover(image)
        mounted = Mounted(name, image.config.digest, tuple(layer.locator for layer in image.layers), cover)
        require_mountable(mounted)
        kept = kept_name(name)
        with output_errors(self._root), self._workspace.locked():
            catalog, rebuilt = catalog_in(self._place, self._rebuild)
            replaces = name in catalog.images and catalog.images[name] != mounted
            catalog.images[name] = mounted
            receipt = image.receipt(self.location, [
                Expectation('mount', CATALOG, Digest.of(mounted.canonical()), len(mounted.canonical()),
                            covers=(image.config.digest, *image.config.diff_ids)),
                *dict.fromkeys(self._expected(layer.locator, [layer.diff_id]) for layer in image.layers),
                *([self._expected(cover, image.config.diff_ids)] if cover else [])])
            self._commit({CATALOG: catalog.to_json(), SCRIPT: mount_script(self._root, catalog, self._user_marks),
                          f'{RECEIPTS}/{kept}': f'{receipt.to_json()}\n'.encode()})
        self._workspace.leave(clean=not replaces, sweep=self._sweep)
        self.notes = [*rebuilt, *self._taken_away, *self._limits.notes, *self._workspace.notes]
        return receipt

    def abort(self) -> None:
        """Remove everything that this run wrote and no image uses; raises OutputError for what cannot be removed."""
        for unpacking in self._unpackings:
            with self._workspace.noting():
                unpacking.abort()
        self._workspace.give_up(self._sweep)

    def _check_place(self) -> None:
        with output_errors(self._root):
            names = set(os.listdir(self._root)) - {'lost+found'} if check_directory(self._root) else set()
            if others := sorted(names - _OURS or (names if names.isdisjoint((STATE, CATALOG)) else ())):
                raise OutputError(f'{self._root} contains other files, such as {others[0]!r}: choose an empty '
                                  'directory')
            if os.path.isdir(self._root):
                catalog_in(self._place, self._rebuild)

    def _agree_on_marks(self) -> None:
        """Mark opaque directories by the attribute that the first run chose; raises OutputError if that needs root."""
        with self._workspace.locked():
            begun = self._place.status(CATALOG)
            if self._place.status(USER_MARKS):
                self._user_marks = True
            elif self._user_marks and begun:
                raise OutputError(f'{self._root} has layers marked by root: add to it as root, or choose a new '
                                  'directory')
            elif self._user_marks:
                os.close(self._place.create(USER_MARKS))

    def _keep_others_from_writing(self) -> None:
        """Remove the rights of other users to change an existing directory."""
        self._taken_away = take_over(self._root)
        mode = stat.S_IMODE(os.stat(self._root).st_mode)
        if mode & stat.S_IWOTH:
            os.chmod(self._root, mode & NOT_OTHERS)
            self._taken_away += [f'{self._root} is not writable for all users any more, since they could have replaced '
                                 'layers']

    @contextmanager
    def _unpacking(self) -> Iterator[Unpacking]:
        """Yield an empty tree, removed at the end unless it was published."""
        staging = Staging(self._place, f'{UNPACKING}/layer', self.settings.sync)
        unpacking = Unpacking(staging, self._root, self._limits, self.settings.sync,
                              lambda tree: OverlayMarks(tree, self._user_marks, self._limits.budget.named))
        self._unpackings.append(unpacking)
        with output_errors(self._root):
            try:
                unpacking.begin()
                yield unpacking
            finally:
                unpacking.abort()

    def _publish(self, unpacking: Unpacking, directory: str) -> None:
        """Rename a tree, unless existing files already match its list, since they may be mounted."""
        with self._workspace.partial() as listing:
            digest, _ = unpacking.finish(listing.write)
            listing.complete()
            with self._workspace.locked():
                full = self._is_full or not self._is_bound(directory)
                if not is_whole(self._root, listing.name, directory, full, self.settings):
                    if self._place.status(tree_name(directory)):
                        require_unchanged(self._root, directory, self.settings, tree_name(directory))
                    unpacking.staging.commit(directory)
                self._workspace.move(listing.name, tree_name(directory))
        self._of_run.add((tree_name(directory), digest))

    def _cover(self, image: WrittenImage) -> str:
        """Make the cover that overlayfs needs to show the image correctly; return its directory, empty without one."""
        with output_errors(self._root):
            stack = Stack(self._root)
            stack.put([layer.locator for layer in image.layers])
            top = stack.cover(self._limits.setter)
        if not any(top):
            return ''
        directory = cover_directory(image.config.diff_ids)
        with self._unpacking() as unpacking:
            unpacking.put_cover([ListedLayer(layer.diff_id, layer.size) for layer in image.layers], top)
            self._publish(unpacking, directory)
        return directory

    def _is_bound(self, directory: str) -> bool:
        """Return whether the list of a layer's files is known to be made from its tar."""
        try:
            listing = tree_name(directory), self._place.hash(tree_name(directory))[0]
        except OSError:
            return False
        return listing in self._of_run or not self._is_full and listing in self._recorded_lists

    @cached_property
    def _recorded_lists(self) -> set[tuple[str, Digest]]:
        return recorded_lists(self._root)

    def _expected(self, directory: str, diff_ids: Sequence[Digest]) -> Expectation:
        name = tree_name(directory)
        return Expectation('files', name, *self._place.hash(name), covers=tuple(diff_ids))

    def _commit(self, documents: dict[str, bytes]) -> None:
        partial_files = {self._workspace.write(content, (0o777 if name == SCRIPT else 0o666) & NOT_OTHERS): name
                         for name, content in documents.items()}
        self._workspace.move_all(partial_files)

    def _sweep(self) -> None:
        """Remove layers that no image has, and what killed runs unpacked; everything if there is no image."""
        for name in self._place.names(UNPACKING):
            remove_tree(self._place, f'{UNPACKING}/{name}')
        remove_unnamed(self._root, self.settings.for_cleanup())
        if not self._place.status(CATALOG):
            for name in (UNPACKING, TREES, EMPTY, LAYERS):
                self._place.remove_empty(name)
            self._place.unlink(USER_MARKS)
