"""The files of an image beside its layers: what `dir://PATH?expand=true` adds, in a folder named like the manifest."""
import os
from collections.abc import Collection
from contextlib import suppress
from io import FileIO

from occystrap_core import ByteStream, Expectation, OutgoingLayer, Settings, Values, WrittenLayer
from occystrap_dir.extraction.removal import remove_tree
from occystrap_dir.extraction.unpacking import Limits, Unpacking
from occystrap_dir.workspace import STATE, Workspace

TREES, UNPACKING = f'{STATE}/trees', f'{STATE}/unpacking'


def expanded_name(manifest: str) -> str:
    """Return the name of the folder that goes with a manifest."""
    return manifest.removesuffix('.json')


def tree_name(manifest: str) -> str:
    """Return the name of the list of files of that folder."""
    return f'{TREES}/{expanded_name(manifest)}.mtree'


class Expansion:
    """Unpacks the layers of one image while they are written."""

    def __init__(self, root: str, options: Values, settings: Settings) -> None:
        self._root, self._limits = root, Limits(options)
        self._unpacking = Unpacking(f'{root}/{UNPACKING}/image', self._limits, settings.sync)
        self._listing = ''

    @property
    def notes(self) -> list[str]:
        """A line that says what could not be set, if anything."""
        return self._limits.notes

    def begin(self) -> None:
        """Make a folder to unpack into; raises OutputError."""
        for name in (TREES, UNPACKING):
            os.makedirs(f'{self._root}/{name}', exist_ok=True)
        self._unpacking.begin()

    def add(self, stream: ByteStream) -> None:
        """Unpack a layer as it passes; raises InvalidImage, OutputError."""
        self._unpacking.add(stream)

    def add_present(self, layer: OutgoingLayer, found: WrittenLayer) -> None:
        """Unpack a layer that lies in the folder already; raises DigestMismatch, InvalidImage, OutputError."""
        path = f'{self._root}/{found.locator}'
        with ByteStream(FileIO(path), digest=layer.diff_id, what=path) as stream:
            self.add(stream)

    def list_files(self, workspace: Workspace, manifest: str) -> Expectation:
        """Write the list of files, not yet under its name; return what to expect of it."""
        self._listing, (digest, size) = workspace.filled(self._unpacking.finish)
        return Expectation('files', tree_name(manifest), digest, size)

    def appear(self, workspace: Workspace, manifest: str) -> None:
        """Let the folder and its list take their places; raises OutputError."""
        self._unpacking.staging.commit(f'{self._root}/{expanded_name(manifest)}')
        workspace.move(self._listing, tree_name(manifest))

    def abort(self) -> None:
        """Remove what was unpacked; raises OSError."""
        self._unpacking.abort()


def remove_expansions(root: str, manifests: Collection[str]) -> None:
    """Remove the folders that go with manifests which are replaced or gone, and their lists; raises OSError."""
    for manifest in manifests:
        if os.path.lexists(f'{root}/{tree_name(manifest)}'):
            if os.path.isdir(f'{root}/{expanded_name(manifest)}'):
                remove_tree(f'{root}/{expanded_name(manifest)}')
            with suppress(FileNotFoundError):
                os.unlink(f'{root}/{tree_name(manifest)}')


def remove_if_empty(root: str) -> None:
    """Remove what `begin` made where nothing is in it."""
    for name in (UNPACKING, TREES):
        with suppress(OSError):
            os.rmdir(f'{root}/{name}')
