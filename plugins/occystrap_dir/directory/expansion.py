"""The unpacked files of an image, which `dir://PATH?expand=true` adds in a directory named after the manifest."""
from collections.abc import Mapping
from io import FileIO
from typing import Any

from occystrap_core import Expectation, OutgoingLayer, OutputError, Settings, WrittenImage, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_dir.directory.expanded_files import TREES, UNPACKING, coming_name, expanded_name, lists_of, tree_name
from occystrap_dir.extraction.privacy import NOT_OTHERS, take_over
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.extraction.unpacked_tree import Limits, Unpacking
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.workspace import Workspace


class Expansion:
    """Unpacks the layers of one image while they are written."""

    def __init__(self, root: str, options: Mapping[str, Any], settings: Settings) -> None:
        self._place, self._limits = Beneath(root), Limits(options)
        staging = Staging(self._place, f'{UNPACKING}/image', settings.sync)
        self._unpacking = Unpacking(staging, root, self._limits, settings.sync)
        self._notes: list[str] = []
        self._listing = ''

    @property
    def notes(self) -> list[str]:
        """Lines about attributes that could not be set, and about a changed mode of the directory, if any."""
        return [*self._notes, *self._limits.notes]

    @property
    def mode(self) -> int:
        """The mode of the destination, which keeps other users out."""
        return self._limits.mode

    def begin(self) -> None:
        """Make a directory to unpack into; raises OutputError."""
        self._notes += take_over(self._place.path)
        self._place.make(TREES, 0o777 & NOT_OTHERS)
        self._place.make_private(UNPACKING)
        self._unpacking.begin()

    def add(self, stream: ByteStream) -> None:
        """Unpack a layer as it passes; raises InvalidImage, OutputError."""
        self._unpacking.add(stream)

    def add_present(self, layer: OutgoingLayer, found: WrittenLayer) -> None:
        """Unpack a layer that the directory already has; raises DigestMismatch, InvalidImage, OutputError."""
        file = FileIO(self._place.open(found.locator))
        with ByteStream(file, digest=layer.diff_id, what=f'{self._place.path}/{found.locator}') as stream:
            self.add(stream)

    def list_files(self, workspace: Workspace, manifest: str, image: WrittenImage) -> Expectation:
        """Write the list of files under a temporary name; return its expectation. Raises OutputError, OSError.

        A directory of that name without a list is not ours, since `publish` writes the list before the directory.
        """
        name = expanded_name(manifest)
        if self._place.status(name) and not lists_of(self._place, manifest):
            raise OutputError(f'{self._place.path}/{name} exists and was not written by occystrap: move it elsewhere '
                              'or choose another directory')
        image_id = image.config.digest
        self._listing, (digest, size) = workspace.filled(lambda write: self._unpacking.finish(write, image_id))
        covers = (image_id, *image.config.diff_ids)
        return Expectation('files', tree_name(manifest), digest, size, covers=covers)

    def publish(self, workspace: Workspace, manifest: str) -> None:
        """Give the list and the directory their final names; raises OutputError."""
        if self._place.set_mode('', self.mode):
            self._notes += [f'{self._place.path} has mode {self.mode:04o} now, as it may hold setuid programs: set '
                            'another one with mode=']
        coming = coming_name(manifest)
        workspace.move(self._listing, coming)
        self._unpacking.staging.commit(expanded_name(manifest))
        workspace.move(coming, tree_name(manifest))

    def abort(self) -> None:
        """Remove what was unpacked; raises OSError."""
        self._unpacking.abort()
