"""Time that grows as the image does, and memory that is bounded, for layers made to be slow or large to unpack.

System calls that list directories and stat entries are counted, not seconds, which vary.
"""
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_dir.workspace.root import Root
from tests.hostile.extraction.ground import Ground, everywhere_as_root
from tests.hostile.extraction.stacks import (
    Part, directory, file, gnu_long, hardlink, layer, opaque, save_image, whiteout,
)
from tests.hostile.extraction.test_limits import memory
from tests.hostile.in_process import run_here

MANY: dict[str, Callable[[int], tuple[Part, ...]]] = {
    'opaque marks over files': lambda n: (*(file(f'd/f{i}') for i in range(n)), *[opaque('d')] * n),
    'whiteouts of a directory that stays': lambda n: (*(file(f'd/f{i}') for i in range(n)), *[whiteout('d')] * n),
    'nested opaque marks, the deepest first': lambda n: (
        *(file('d/' * 30 + f'f{i}') for i in range(n)), *(opaque('/'.join(['d'] * k)) for k in range(30, 0, -1))),
    'links each to the next': lambda n: (
        *(hardlink(f'l{i}', f'l{i + 1}') for i in range(n)), file(f'l{n}')),
}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts entries of directories that are read, directories that are looked up, and links that are tried."""
    counted = [0]
    scandir, plain = os.scandir, Root.plain

    class Counting:
        def __init__(self, target: int | str) -> None:
            self._entries = scandir(target)

        def __enter__(self) -> 'Counting':
            return self

        def __exit__(self, *exception: object) -> None:
            self._entries.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            for entry in self._entries:
                counted[0] += 1
                yield entry

    def looked_up(root: Root, path: bytes) -> int:
        counted[0] += 1
        return plain(root, path)
    monkeypatch.setattr(os, 'scandir', Counting)
    monkeypatch.setattr(Root, 'plain', looked_up)
    return counted


@pytest.mark.parametrize('name', MANY)
def test_twice_the_entries_take_twice_the_looks(name: str, looks: list[int], tmp_path: Path) -> None:
    taken = []
    for count in (100, 200, 400):
        archive = save_image(tmp_path / f'{count}.tar', layer(file('low')), layer(*MANY[name](count)))
        before = looks[0]
        run_here('process', f'tar://{archive}', f'oci://{tmp_path}/{count}', '--no-sync').assert_success()
        taken.append(looks[0] - before)
    assert taken[1] < 2.2 * taken[0] and taken[2] < 2.2 * taken[1], taken


def test_links_in_a_circle_are_refused(roots_ground: Ground) -> None:
    parts = (hardlink('a', 'b'), hardlink('b', 'c'), hardlink('c', 'a'))
    roots_ground.extract(parts).refused('is a hard link to', 'which does not exist')


def test_an_entry_after_a_link_that_waits_takes_its_place(roots_ground: Ground) -> None:
    done = roots_ground.extract((hardlink('l', 't'), file('l', b'later'), file('t', b'target')))
    assert done.content('l') == b'later' and done.tree['t'].links == 1


LONG = '/'.join(['d' * 250] * 15)


def long_named(kind: str, count: int) -> bytes:
    """Return a layer of so many entries of one kind in one directory, whose paths have 4,000 bytes."""
    def part(number: int) -> Part:
        name = f'{LONG}/{number:06}' + 'n' * 100
        return {'file': lambda: file(name), 'directory': lambda: directory(name), 'mark': lambda: whiteout(name),
                'link': lambda: hardlink(name, f'{LONG}/none')}[kind]()
    return layer(*map(part, range(count)))


@everywhere_as_root
@pytest.mark.parametrize('kind', ['file', 'directory', 'mark', 'link'])
def test_of_paths_names_alone_are_in_memory_or_the_option_bounds_them(roots_ground: Ground, kind: str) -> None:
    done = roots_ground.extract(long_named(kind, 500), options='max_names=256KiB')
    if kind == 'link' or kind == 'mark' and not roots_ground.destination.merges:  # kept whole until the layer's end
        done.refused('max_names')
    else:
        done.result.assert_success()


@everywhere_as_root
def test_long_paths_take_bounded_memory(measured_ground: Ground) -> None:
    count = 4000 if measured_ground.destination.scheme == 'oci' else 400
    archive = save_image(measured_ground.directory / 'image.tar', layer(file('low')), long_named('directory', count))
    measured_ground.run(archive).result.assert_success()
    assert memory(measured_ground) < 100


def test_names_in_memory_are_bounded_by_the_option(ground: Ground) -> None:
    parts = tuple(file(f'{number}' + 'n' * 200) for number in range(100))
    ground.extract(parts, options='max_names=10000').refused('max_names')
    ground.extract(parts, options='max_names=100KiB').result.assert_success()


@pytest.mark.parametrize('length', [4096, 100_000, 1_000_000])
def test_names_that_linux_does_not_take_are_refused_in_few_words(ground: Ground, length: int) -> None:
    name = b'n' * length
    done = ground.extract((gnu_long(b'L', name), file('n' * 100)))
    assert len(done.refused(f'has a name of {length} bytes', '4095').err.splitlines()[0]) < 300


@everywhere_as_root
def test_marks_that_carry_names_take_room(roots_ground: Ground) -> None:
    parts = tuple(whiteout(f'd/{number}' + 'n' * 200) for number in range(100))
    if not roots_ground.destination.merges:
        roots_ground.extract(parts, options='max_names=10000').refused('max_names')
