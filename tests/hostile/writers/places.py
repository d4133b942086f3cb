"""Every kind of destination, one line each in DESTINATIONS: what is there, and what of it may be damaged."""
import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from occystrap_core.api.image_input import ImageInput
from occystrap_core.errors import ImageNotFound
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.settings import Settings
from tests.services.installed import installed_plugins
from tests.services.registry import Registry
from tests.unit.docker.fake_daemon import FakeDaemon

Tree = dict[str, object]


class Place(Protocol):
    """A destination of one test."""

    uri: str

    def tree(self) -> Tree:
        """All that there is, temporary things as well; the same for the same images written in the same order."""

    def seen(self) -> Tree:
        """What a user of the destination sees of it now; empty if that is no image."""

    def files(self) -> list[Path]:
        """The files that hold what was written, which verification speaks for; none if they are out of reach."""


@dataclass(frozen=True)
class Grounds:
    """Where places are made: a directory that a place has for itself, a registry, for `docker` a daemon."""

    directory: Path
    registry: Registry
    daemon: FakeDaemon | None
    name: str

    def at(self, directory: Path) -> 'Grounds':
        """The same with another directory."""
        return Grounds(directory, self.registry, self.daemon, self.name)


@dataclass(frozen=True)
class InDirectory:
    """A file or a directory called `out`, the only thing in the directory above it."""

    above: Path
    template: str
    is_directory: bool = True

    @property
    def path(self) -> Path:
        """The destination's own."""
        return self.above / 'out'

    @property
    def uri(self) -> str:
        """As users write it."""
        return self.template.format(self.path)

    def tree(self) -> Tree:
        """Each file, directory and link with kind, permissions and content; not the workshop, if it is empty."""
        workshop = self.path / '.occystrap/unpacking'
        return {str(path.relative_to(self.above)): _described(path) for path in _below(self.above)
                if path != workshop or any(workshop.iterdir())}

    def seen(self) -> Tree:
        """The same without hidden names: a destination that is one rename is always all of the one or the other."""
        return {name: entry for name, entry in self.tree().items() if not _is_hidden(name)}

    def files(self) -> list[Path]:
        """All regular files but those of the bookkeeping."""
        found = [self.above / name for name in self.tree() if not _is_hidden(name)]
        return sorted(path for path in found if path.is_file() and not path.is_symlink())


class ReadableDirectory(InDirectory):
    """A directory whose files appear one by one: what counts is the image that is read from it."""

    def seen(self) -> Tree:
        """The image's ID and layers, all read to their ends; raises InvalidImage when it is not whole."""
        plugins = installed_plugins()
        source = open_source(plugins, source_location(plugins, self.uri.partition('?')[0]), Settings())
        assert isinstance(source, ImageInput)
        with closing(source):
            try:
                reference, = source.references()
            except ImageNotFound:
                return {}
            with source.open(reference) as image:
                return {image.config.digest: [layer.tar().drain() for layer in image.layers]}


class MountedDirectory(InDirectory):
    """A directory of layers: what counts are those that mount.json names."""

    def seen(self) -> Tree:
        """What mount.json says, and what its layers hold."""
        try:
            listed = json.loads((self.path / 'mount.json').read_bytes())
        except FileNotFoundError:
            return {}
        layers = [f'out/{layer}' for image in listed.values() for layer in image['layers']]
        return {'mount.json': listed, **{name: entry for name, entry in self.tree().items()
                                         if any(f'{name}/'.startswith(f'{layer}/') for layer in layers)}}


class InRegistry:
    """A tag of a registry."""

    def __init__(self, grounds: Grounds) -> None:
        self._registry, self._repository = grounds.registry, f'writers/{grounds.name}'
        self.uri = f'registry://{grounds.registry.host}/{self._repository}:v1'

    def tree(self) -> Tree:
        """The manifest that the tag names, and the digests that its blobs really have."""
        try:
            manifest = self._registry.tag_digest(self._repository, 'v1')
        except FileNotFoundError:
            return {}
        return {'v1': manifest, **{digest: _digest(self._registry.blob_path(digest)) for digest in self._blobs()}}

    def seen(self) -> Tree:
        """The same: what the registry keeps of broken uploads is its own affair."""
        return self.tree()

    def files(self) -> list[Path]:
        """The registry's files of the blobs, the manifest among them."""
        return [self._registry.blob_path(digest) for digest in sorted(self._blobs())]

    def _blobs(self) -> set[str]:
        digest = self._registry.tag_digest(self._repository, 'v1')
        manifest: dict[str, Any] = json.loads(self._registry.read_blob(digest))
        return {digest, manifest['config']['digest'], *(layer['digest'] for layer in manifest['layers'])}


class InDaemon:
    """A tag of a daemon that speaks Docker's API; what it does with its files is out of reach."""

    def __init__(self, grounds: Grounds) -> None:
        assert grounds.daemon
        self._daemon, self._name = grounds.daemon, f'writers/{grounds.name}:v1'
        self.uri = f'docker://{self._name}?socket={grounds.daemon.socket}'

    def tree(self) -> Tree:
        """The image that the tag names, and its layers."""
        image = self._daemon.find(self._name)
        return {'v1': (image.id, image.diff_ids)} if image else {}

    def seen(self) -> Tree:
        """The same."""
        return self.tree()

    def files(self) -> list[Path]:
        """None: see tests/unit/docker/test_verifier.py for damage."""
        return []


DESTINATIONS: dict[str, Callable[[Grounds], Place]] = {
    'dir': lambda grounds: ReadableDirectory(grounds.directory, 'dir://{}'),
    'dir of several': lambda grounds: ReadableDirectory(grounds.directory, 'dir://{}?unique_names=true'),
    'dir expanded': lambda grounds: ReadableDirectory(grounds.directory, 'dir://{}?expand=true'),
    'layout': lambda grounds: ReadableDirectory(grounds.directory, 'layout://{}'),
    'oci': lambda grounds: InDirectory(grounds.directory, 'oci://{}'),
    'mounts': lambda grounds: MountedDirectory(grounds.directory, 'mounts://{}'),
    'tar': lambda grounds: InDirectory(grounds.directory, 'tar://{}', is_directory=False),
    'tar oci': lambda grounds: InDirectory(grounds.directory, 'tar://{}?format=oci', is_directory=False),
    'registry': InRegistry,
    'docker': InDaemon,
}
IN_DIRECTORIES = [name for name in DESTINATIONS if name not in ('registry', 'docker')]
READABLE = [name for name in DESTINATIONS if name not in ('oci', 'mounts')]
"""Those that are sources as well."""


def without_kept(tree: Tree) -> Tree:
    """A tree without the layers that an interrupted run keeps for the next one; see test_interrupted_layers.py."""
    return {name: entry for name, entry in tree.items() if '/.occystrap/kept' not in name}


def _below(directory: Path) -> list[Path]:
    return sorted(Path(above, name) for above, children, files in os.walk(directory) for name in [*children, *files])


def _is_hidden(name: str) -> bool:
    return any(part.startswith('.') for part in name.split('/'))


def _described(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    kind = stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    if stat.S_ISLNK(found.st_mode):
        return *kind, os.readlink(path)
    if not stat.S_ISREG(found.st_mode):
        return kind
    return *kind, _what_receipt_expects(path) if '/.occystrap/receipts/' in str(path) else _digest(path)


def _what_receipt_expects(path: Path) -> object:
    """What a kept receipt says, without where it was written and how each thing is known; of half of one its bytes."""
    try:
        receipt = json.loads(path.read_bytes())
    except ValueError:
        return _digest(path)
    expectations = [{key: value for key, value in each.items() if key != 'evidence'}
                    for each in receipt['expectations']]
    return [receipt['image_id'], receipt['diff_ids'], receipt['manifest_digest'], expectations]


def _digest(path: Path) -> str:
    with path.open('rb') as file:
        return f'sha256:{hashlib.file_digest(file, "sha256").hexdigest()}'
