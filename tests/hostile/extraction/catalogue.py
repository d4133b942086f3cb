"""Every stack of layers that a test of this directory extracts first, had by running the tests without extracting."""
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.hostile.extraction.ground import Extraction, Ground
from tests.hostile.extraction.stacks import Part

GROUNDS = ('ground', 'roots_ground', 'ordinary_ground', 'merging_ground')


@dataclass(frozen=True)
class Stack:
    """What a test extracts: an archive, and the query of the destination; `ground` is the one that it asks for."""

    test: str
    ground: str
    archive: Path
    options: str
    layers: int


class Caught(Exception):
    """The test came to its first extraction: the archive, options and arguments of it, and how many layers it has."""


class Recording(Ground):
    """A ground on which nothing is extracted."""

    def extract(self, *layers: tuple[Part, ...] | bytes, options: str = '', arguments: tuple[str, ...] = ()
                ) -> Extraction:
        """End the test."""
        raise Caught(self.saved(layers), options, arguments, len(layers))

    def run(self, archive: Path, options: str = '', arguments: tuple[str, ...] = ()) -> Extraction:
        """End the test."""
        raise Caught(archive, options, arguments, 1)


def catalogue(ground: Ground, directory: Path) -> Iterator[Stack]:
    """Yield the stacks of all tests that need nothing but a ground; their archives are kept in `directory`."""
    recording = Recording(ground.directory, ground.destination, ground.user)
    for path in sorted(Path(__file__).parent.glob('test_*.py')):
        if path.stem == 'test_same_everywhere':
            continue
        module = importlib.import_module(f'tests.hostile.extraction.{path.stem}')
        for name, test in list(vars(module).items()):
            if name.startswith('test_') and inspect.isfunction(test) and test.__module__ == module.__name__:
                yield from _stacks(f'{path.stem}::{name}', test, recording, directory)


def _stacks(name: str, test: Callable[..., object], recording: Recording, directory: Path) -> Iterator[Stack]:
    marks = [mark for mark in getattr(test, 'pytestmark', [])
             if mark.name == 'parametrize' and mark.args[0] not in GROUNDS]
    for choice in product(*(_values(*mark.args[:2]) for mark in marks)):
        given = {key: value for values in choice for key, value in values.items()}
        needed = set(inspect.signature(test).parameters) - set(given)
        if len(needed) != 1 or not needed <= set(GROUNDS):
            return
        ground, = needed
        try:
            test(**given, **{ground: recording})
        except Caught as caught:
            archive, options, arguments, layers = caught.args
            if not arguments:
                kept = archive.rename(directory / f'{len(list(directory.iterdir()))}.tar')
                yield Stack(name, ground, kept, options, layers)


def _values(names: str | tuple[str, ...], values: Any) -> list[dict[str, Any]]:
    """Return what parametrize gives for the names, a dictionary for each case."""
    split = [name.strip() for name in names.split(',')] if isinstance(names, str) else list(names)
    return [dict(zip(split, each if len(split) > 1 else [each], strict=True)) for each in values]
