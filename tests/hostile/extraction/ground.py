"""The ground of an extraction: victims around the destination, and who extracts; what is outside never changes."""
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.hostile.extraction.stacks import Part, layer, save_image
from tests.hostile.extraction.trees import Tree, read_tree
from tests.services.command_line import CommandResult
from tests.services.requirements import EVERYTHING

NOBODY = 65534
OWN = 'home'


@dataclass(frozen=True)
class Destination:
    """A kind of destination that unpacks: its scheme and options, and how its merged tree is shown.

    `merges`: layers are put into one tree; else each is by itself, as Docker's overlay2 has them, and does not see what
    is in lower ones.
    """

    scheme: str
    options: tuple[str, ...]
    root: Callable[[Path], AbstractContextManager[Path]]
    merges: bool = True


@contextmanager
def _mounted(directory: Path) -> Iterator[Path]:
    """Give the merged tree of a `mounts://` directory, mounted beside it by its own script."""
    target = directory.parent / OWN / 'mounted'
    done = subprocess.run([directory / 'mount.sh', target], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    try:
        yield target
    finally:
        subprocess.run(['umount', target], check=True)


ALL = {'oci': Destination('oci', (), lambda bundle: nullcontext(bundle / 'rootfs')),
       'dir': Destination('dir', ('expand=true',), lambda directory: nullcontext(directory / 'manifest')),
       'mounts': Destination('mounts', (), _mounted, merges=False)}
DESTINATIONS = {name: ALL[name] for name in (ALL if EVERYTHING else ['oci'])}
"""What every test of this directory runs on: `oci://`, all of them with OCCYSTRAP_TEST_ALL=1.

They have one extractor; `test_same_everywhere.py` holds what each makes of every stack against the bundle.
"""
everywhere = pytest.mark.parametrize('ground', [f'{kind}-{user}' for kind in ALL for user in ('root', 'ordinary')],
                                     indirect=True)
"""Has a test run on every destination in any case: what layers do to each other, or is there already."""
everywhere_as_root = pytest.mark.parametrize('roots_ground', [f'{kind}-root' for kind in ALL], indirect=True)
"""The same for tests of root."""


@dataclass(frozen=True)
class User:
    """Who runs the command, by `run(directory, home, *arguments)`; `id` is whose the ground is."""

    name: str
    id: int
    run: Callable[..., CommandResult]

    @property
    def is_root(self) -> bool:
        """Whether owners, devices and all attributes can be had."""
        return self.id == 0


@dataclass(frozen=True)
class Extraction:
    """What came of a run: `bundle` is the destination, `tree` what was unpacked there."""

    result: CommandResult
    bundle: Path
    destination: Destination

    def refused(self, *words: str) -> CommandResult:
        """Fail the test unless it ended with exit code 1 and one line that has these words, leaving nothing."""
        self.result.assert_code(1)
        lines = self.result.err.splitlines()
        complaints = [line for line in lines if line.startswith('occystrap: error: ')]
        assert len(complaints) == 1 and 'Traceback' not in self.result.err, str(self.result)
        assert 'internal error' not in self.result.err and 'to its author' not in self.result.err, str(self.result)
        assert all(word in complaints[0] for word in words), f'{words} not in: {self.result}'
        return self.result

    @property
    def tree(self) -> Tree:
        """The merged tree; fails the test unless the run succeeded."""
        self.result.assert_success()
        assert 'Traceback' not in self.result.err, str(self.result)
        with self.shown() as root:
            return read_tree(root)

    def content(self, path: str) -> bytes:
        """Return what a file holds."""
        with self.shown() as root:
            return (root / path).read_bytes()

    def shown(self) -> AbstractContextManager[Path]:
        """Give the directory that shows the merged tree; fails the test unless the run succeeded."""
        self.result.assert_success()
        return self.destination.root(self.bundle)


@dataclass(frozen=True)
class Ground:
    """A directory with victims, in which a user extracts into `bundle`."""

    directory: Path
    destination: Destination
    user: User

    @property
    def victim(self) -> str:
        """The absolute path of the directory that attacks aim at."""
        return str(self.directory / 'victim')

    @property
    def inside(self) -> str:
        """Where that same absolute path is in a root file system, relative to its root."""
        return self.victim.lstrip('/')

    @property
    def least_of_directories(self) -> int:
        """The least mode of a directory: an ordinary user could not read one of mode 0 to verify it."""
        return 0 if self.user.is_root else 0o700

    @property
    def least_of_files(self) -> int:
        """The least mode that a file gets."""
        return 0 if self.user.is_root else 0o400

    def plant(self) -> None:
        """Make the victims: the directory, and a sibling whose name begins like the destination's."""
        for name in ('victim/directory', 'bundle-evil', OWN):
            (self.directory / name).mkdir(parents=True)
        for name in ('victim/file', 'victim/linked', 'victim/directory/inside', 'bundle-evil/file'):
            (self.directory / name).write_text(f'mine: {name}\n')
            (self.directory / name).chmod(0o640)
        (self.directory / 'victim/link').symlink_to('file')
        for path in [self.directory, *self.directory.rglob('*')]:
            os.lchown(path, self.user.id, self.user.id)
            os.utime(path, (1_400_000_000, 1_400_000_000), follow_symlinks=False)

    def extract(self, *layers: tuple[Part, ...] | bytes, options: str = '', arguments: tuple[str, ...] = ()
                ) -> Extraction:
        """Extract an image of these layers; see `run`."""
        return self.run(self.saved(layers), options, arguments)

    def saved(self, layers: Sequence[tuple[Part, ...] | bytes]) -> Path:
        """Write an archive of these layers, and return its path."""
        return save_image(self.directory / 'image.tar',
                          *(each if isinstance(each, bytes) else layer(*each) for each in layers))

    def run(self, archive: Path, options: str = '', arguments: tuple[str, ...] = ()) -> Extraction:
        """Extract an archive, and fail the test if anything outside changed, or if an error left anything."""
        archive.chmod(0o644)
        outside, old = self.outside(), self.inventory()
        query = '&'.join(filter(None, (*self.destination.options, options)))
        place = f'{self.destination.scheme}://bundle' + (f'?{query}' if query else '')
        result = self.user.run(self.directory, self.directory / OWN, 'process', f'tar://{archive}', place, *arguments)
        assert self.outside() == outside, f'something outside the destination changed\n{result}'
        if result.code:
            now = self.inventory()
            changed = sorted({path for path, _ in set((old or {}).items()) ^ set((now or {}).items())})
            assert now == old, f'the destination changed in spite of the error: {changed}\n{result}'
        bundle = self.directory / 'bundle'
        return Extraction(result, bundle, self.destination)

    def outside(self) -> Tree:
        """Return everything but the destination, and what the command keeps at home."""
        tree = read_tree(self.directory, without=('bundle', OWN))
        del tree['.']
        return tree

    def inventory(self) -> Tree | None:
        """Return what the destination is, or None if there is none; without times of a run's working directories."""
        if not os.path.lexists(self.directory / 'bundle'):
            return None
        tree = read_tree(self.directory / 'bundle')
        if self.destination.scheme == 'oci':
            return tree
        return {path: replace(node, mtime=0, links=0) if node.kind == 'directory' and _is_shared(path) else node
                for path, node in tree.items() if path != '.occystrap/unpacking'}


def _is_shared(path: str) -> bool:
    return path in ('.', 'layers') or path.startswith('.occystrap')
