"""Damage to files, each kind undone after it was tried, down to inodes and times."""
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from occystrap_core.settings import VerifyLevel

FLIPS = 5
"""Number of bits that are flipped in each file, one after the other."""
SPOILS = ('nothing', 'directory', 'empty_file', 'noise')
"""What replaces a file or a directory."""


class Damage(NamedTuple):
    """One way to damage an output: its name, the level at which it must be found, and a context in which it is done."""

    name: str
    level: VerifyLevel
    done: Callable[[], AbstractContextManager[object]]


def damages_of_files(directory: Path, files: Sequence[Path]) -> list[Damage]:
    """Yield ways to damage files: removed, truncated, extended, a bit flipped, the two largest different files swapped.
    """
    found = [each for path in files for each in _damages_of_file(path, directory)]
    largest = sorted(files, key=lambda path: -path.stat().st_size)[:2]
    if len(largest) == 2 and largest[0].read_bytes() != largest[1].read_bytes():
        names = ' and '.join(str(path.relative_to(directory)) for path in largest)
        found.append(Damage(f'{names} swapped', VerifyLevel.FULL, lambda: _swapped(*largest)))
    return found


def _damages_of_file(path: Path, directory: Path) -> Iterator[Damage]:
    content, name = path.read_bytes(), str(path.relative_to(directory))
    yield Damage(f'{name} removed', VerifyLevel.FAST, lambda: spoiled(path, 'nothing', directory))
    if content:
        yield Damage(f'{name} cut in half', VerifyLevel.FAST, lambda: with_content(path, content[:len(content) // 2]))
    yield Damage(f'{name} made longer', VerifyLevel.FAST, lambda: with_content(path, content + b'\1'))
    last = len(content) - 1
    for place in sorted({last * number // (FLIPS - 1) for number in range(FLIPS)} if content else ()):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]
        yield Damage(f'byte {place} of {name} flipped', VerifyLevel.FULL,
                     lambda flipped=flipped: with_content(path, flipped))  # type: ignore[misc]


@contextmanager
def with_content(path: Path, content: bytes) -> Iterator[None]:
    """Replace the content of a file for the time of a block."""
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@contextmanager
def _swapped(one: Path, two: Path) -> Iterator[None]:
    first, second = one.read_bytes(), two.read_bytes()
    with with_content(one, second), with_content(two, first):
        yield


@contextmanager
def spoiled(path: Path, how: str, directory: Path) -> Iterator[None]:
    """Replace what is below a directory by something else (SPOILS) for the time of a block."""
    status, aside = path.parent.stat(), directory.with_name(f'{directory.name}-aside')
    path.rename(aside)
    _put(path, how)
    os.utime(path.parent, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        aside.rename(path)
        os.utime(path.parent, ns=(status.st_atime_ns, status.st_mtime_ns))


def _put(path: Path, how: str) -> None:
    if how == 'directory':
        path.mkdir()
    elif how != 'nothing':
        path.write_bytes(b'' if how == 'empty_file' else bytes(number * 167 % 251 for number in range(5000)))
