"""Files of an image beside its layers: what `dir://PATH?expand=true` adds, in a directory named after the manifest."""
from collections.abc import Collection, Mapping
from io import FileIO
from typing import Any

from occystrap_core import Expectation, OutgoingLayer, OutputError, Settings, WrittenImage, WrittenLayer
from occystrap_core.files import ByteStream
from occystrap_dir.extraction.privacy import NOT_OTHERS
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.extraction.unchanged import require_unchanged
from occystrap_dir.extraction.unpacked_tree import Limits, Unpacking
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.removal import remove_tree
from occystrap_dir.workspace.workspace import STATE, Workspace

TREES, UNPACKING = f'{STATE}/trees', f'{STATE}/unpacking'


def expanded_name(manifest: str) -> str:
    """Return the name of the directory that goes with a manifest."""
    return manifest.removesuffix('.json')


def tree_name(manifest: str) -> str:
    """Return the name of the list of files of that directory."""
    return f'{TREES}/{expanded_name(manifest)}.mtree'


def _coming_name(manifest: str) -> str:
    """Return the name of the list of the files that are about to take their place: either may be there after a kill."""
    return f'{tree_name(manifest)}.coming'


def _lists(place: Beneath, manifest: str) -> list[str]:
    """Return the lists of which one is that of the directory; none where it is not ours. Raises OSError."""
    return [name for name in (tree_name(manifest), _coming_name(manifest)) if place.status(name)]


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
        """Lines that say what could not be set, and what of the directory was, if anything."""
        return [*self._notes, *self._limits.notes]

    @property
    def mode(self) -> int:
        """That of the directory, which keeps other users out."""
        return self._limits.mode

    def begin(self) -> None:
        """Make a directory to unpack into; raises OutputError."""
        self._place.make(TREES, 0o777 & NOT_OTHERS)
        self._place.make_private(UNPACKING)
        self._unpacking.begin()

    def add(self, stream: ByteStream) -> None:
        """Unpack a layer as it passes; raises InvalidImage, OutputError."""
        self._unpacking.add(stream)

    def add_present(self, layer: OutgoingLayer, found: WrittenLayer) -> None:
        """Unpack a layer that lies in the directory already; raises DigestMismatch, InvalidImage, OutputError."""
        file = FileIO(self._place.open(found.locator))
        with ByteStream(file, digest=layer.diff_id, what=f'{self._place.path}/{found.locator}') as stream:
            self.add(stream)

    def list_files(self, workspace: Workspace, manifest: str, image: WrittenImage) -> Expectation:
        """Write the list of files, not yet under its name; return what to expect of it. Raises OutputError, OSError.

        A directory of that name without a list is not ours: `appear` has a list there before the directory.
        """
        name = expanded_name(manifest)
        if self._place.status(name) and not _lists(self._place, manifest):
            raise OutputError(f'{self._place.path}/{name} is in the way, and not of this program: move it elsewhere or '
                              'name another directory')
        image_id = image.config.digest
        self._listing, (digest, size) = workspace.filled(lambda write: self._unpacking.finish(write, image_id))
        covers = (image_id, *image.config.diff_ids)
        return Expectation('files', tree_name(manifest), digest, size, covers=covers)

    def appear(self, workspace: Workspace, manifest: str) -> None:
        """Let the list and the directory take their places; raises OutputError."""
        if self._place.set_mode('', self.mode):
            self._notes = [f'{self._place.path} has mode {self.mode:04o} now, as it may hold setuid programs: mode= '
                           'asks for another one']
        coming = _coming_name(manifest)
        workspace.move(self._listing, coming)
        self._unpacking.staging.commit(expanded_name(manifest))
        workspace.move(coming, tree_name(manifest))

    def abort(self) -> None:
        """Remove what was unpacked; raises OSError."""
        self._unpacking.abort()


def spare_expansions(root: str, manifests: Collection[str], settings: Settings) -> None:
    """Raise OutputError when somebody has worked in a directory that is to be replaced or removed; raises OSError."""
    for manifest in manifests:
        if lists := _lists(Beneath(root), manifest):
            require_unchanged(root, expanded_name(manifest), settings, *lists)


def remove_expansions(root: str, manifests: Collection[str]) -> None:
    """Remove the directories that go with manifests which are replaced or gone, and their lists; raises OSError."""
    place = Beneath(root)
    for manifest in manifests:
        lists = _lists(place, manifest)
        if lists and place.is_directory(expanded_name(manifest)):
            remove_tree(place, expanded_name(manifest))
        for each in lists:
            place.unlink(each)


def remove_if_empty(root: str) -> None:
    """Remove what `begin` made where nothing is in it; raises OSError."""
    for name in (UNPACKING, TREES):
        Beneath(root).remove_empty(name)
