"""Copies of an image of two large layers, from a registry that breaks off in the second, and what becomes of that."""
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from occystrap_core.oci import Digest
from occystrap_core.terminal_text import size_text
from tests.hostile.in_process import run_here
from tests.hostile.writers.places import InDirectory, Tree
from tests.services.breaking_registry import BreakingRegistry, noise_layer
from tests.services.command_line import CommandResult

MIB = 1 << 20


class Kind(NamedTuple):
    """A kind of destination, the sizes of two layers, and where the second breaks off."""

    template: str
    whole: int
    cut: int
    at: int


KINDS = {
    'layout': Kind('layout://{}', 3 * MIB, 2 * MIB + 100_000, 2 * MIB + 12345),
    'dir': Kind('dir://{}?unique_names=true', 9 * MIB, 8 * MIB + 100_000, 5 * MIB + 12345),
    'tar': Kind('tar://{}', 9 * MIB, 8 * MIB + 100_000, 5 * MIB + 12345),
    'tar oci': Kind('tar://{}?format=oci', 9 * MIB, 8 * MIB + 100_000, 5 * MIB + 12345),
    'small tar': Kind('tar://{}', 3 * MIB, 2 * MIB + 100_000, 2 * MIB + 12345),
    'small tar oci': Kind('tar://{}?format=oci', 3 * MIB, 2 * MIB + 100_000, 2 * MIB + 12345)}


class Mirror:
    """A destination that an image of two large layers is copied to, from a registry that breaks off in the second."""

    def __init__(self, kind: Kind, registry: BreakingRegistry, above: Path) -> None:
        self.kind, self.registry, self.place = kind, registry, InDirectory(above, kind.template)
        self.whole, self.cut = registry.add('app:v1', {'first': kind.whole, 'second': kind.cut})
        registry.add('other:v1', {'second': kind.cut, 'third': MIB})
        self.kept = self.place.path / '.occystrap/kept'
        if kind.template.startswith('tar'):
            self.kept = above / '.out.kept'
        self.kept_whole = self.whole
        """Under which digest the first layer is kept: that of what the destination has of it."""
        if kind in (KINDS['dir'], KINDS['small tar']):
            self.kept_whole = str(Digest.of(noise_layer('first', kind.whole)[0]))
        self.cut_off()

    def cut_off(self) -> None:
        """Let the second layer break off."""
        self.registry.breaks[self.cut] = self.kind.at

    def command(self, *options: str | Path, image: str = 'app:v1', to: str = '') -> list[str]:
        """The copy, one layer after the other, without patience."""
        source = f'registry://{self.registry.host}/{image}'
        return ['process', source, to or self.place.uri, '-j1', '--retries=0', *map(str, options)]

    def copy(self, *options: str | Path, image: str = 'app:v1', to: str = '') -> CommandResult:
        """Copy an image."""
        return run_here(*self.command(*options, image=image, to=to))

    def interrupt(self) -> CommandResult:
        """Copy until the network breaks off, and have it well again."""
        self.cut_off()
        result = self.copy().assert_code(1)
        self.registry.heal()
        return result

    def file(self, digest: str) -> Path:
        """Where the beginning of a layer is kept."""
        return self.kept / digest.replace(':', '-')

    def kept_sizes(self) -> dict[str, int]:
        """The digests of what is kept, and of how much."""
        return {path.name.replace('-', ':'): path.stat().st_size for path in self.kept.iterdir()}

    def cut_size(self) -> int:
        """The size in bytes of the second layer's tar."""
        return len(noise_layer('second', self.kind.cut)[0])

    def kept_text(self) -> str:
        """What an interrupted run says."""
        place = self.kept if self.kept.name == '.out.kept' else self.place.path
        return f'2 layers ({size_text(sum(self.kept_sizes().values()))}) are kept for the next run in {place}'

    def expected(self, twin: Path) -> Tree:
        """The tree of an undisturbed copy."""
        place = InDirectory(twin, self.kind.template)
        twin.mkdir()
        self.registry.heal()
        self.copy(to=place.uri).assert_success()
        self.registry.heal()
        return place.tree()

    def is_as(self, tree: Tree) -> bool:
        """Whether there is just what an undisturbed copy gives, and proves to be whole."""
        if not self.kind.template.startswith('tar'):
            run_here('verify', self.place.uri, '--verify=full').assert_success()
        return self.place.tree() == tree


def wait_for_kept(mirror: Mirror) -> None:
    """Wait until a run stands still in the second layer, and has written what came of it."""
    assert mirror.registry.reached.wait(20)
    until = time.monotonic() + 20
    while not mirror.kept.exists() or mirror.kept_sizes().get(mirror.cut, 0) < mirror.kind.at - MIB:
        assert time.monotonic() < until
        time.sleep(0.01)


def flip(path: Path) -> None:
    """Change one bit."""
    with path.open('r+b') as file:
        file.seek(MIB)
        byte = file.read(1)[0]
        file.seek(MIB)
        file.write(bytes([byte ^ 1]))


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    'a link': Path.symlink_to, 'a hard link': Path.hardlink_to,
    'a directory': lambda path, victim: path.mkdir(), 'a pipe': lambda path, victim: os.mkfifo(path)}
