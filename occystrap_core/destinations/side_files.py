"""The files that a run writes besides images: none may be an image, a stream in use, or be used by two options."""
import os
import stat
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import NamedTuple

from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins

_STDOUT, _STDERR = 1, 2
_PRIVATE = '.occystrap'
"""What destinations keep for themselves, whichever run they are of."""


class KeptPath(NamedTuple):
    """A path that images are read from or written to, and the names in it that are theirs, as patterns of fnmatch."""

    path: str
    names: Sequence[str] = ()


class SideFiles:
    """Files by their paths, each with its option."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, str, bool]] = {}
        self._stdout: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self._named or self._stdout)

    def add(self, option: str, path: str | None, within: bool = False) -> None:
        """Add a file, unless `path` is a device or pipe, which has no content to lose.

        `within`: it may be in the directory of an image, beside what that keeps. Raises UsageError if another option
        names the same file, for a file that stderr goes to, and for one among the private files of a destination.
        """
        if path is None:
            return
        if _leads_to(path, _STDOUT):
            self._add_stdout(option, path)
        elif not os.path.exists(path) or os.path.isfile(path):
            self._add_file(option, path, within)

    def _add_stdout(self, option: str, path: str) -> None:
        other, _ = self._stdout = self._stdout or (option, path)
        if other != option:
            raise UsageError(f'{option} and {other} both write to stdout: choose a file for one of them')

    def _add_file(self, option: str, path: str, within: bool) -> None:
        real = os.path.realpath(path)
        if _leads_to(path, _STDERR):
            raise UsageError(f'{option} {path} is the file that stderr, with all messages, is redirected to: choose '
                             'another file')
        if _PRIVATE in real.split(os.sep):
            raise UsageError(f'{option} {path} is in the directory {_PRIVATE} of a destination: choose a file '
                             'elsewhere')
        other, _, _ = self._named.setdefault(real, (option, path, within))
        if other != option:
            raise UsageError(f'{option} and {other} both write to {path}: choose two files')

    def refuse_stdout(self, taken: str) -> None:
        """Raise UsageError if a file is stdout, to which `taken` goes."""
        if self._stdout:
            option, path = self._stdout
            raise UsageError(f'{option} {path} is stdout, where {taken} goes: choose a file')

    def refuse_places(self, places: Iterable[KeptPath]) -> None:
        """Raise UsageError if a file is, or is below, one of the paths of images, or has a name that they keep."""
        taken: dict[Hashable, list[KeptPath]] = {}
        for each in dict.fromkeys(places):
            if each.path:
                taken.setdefault(Place.at(each.path).root, []).append(each)
        for real, (option, path, within) in self._named.items():
            for root, name in upwards(real):
                for kept in taken.get(root, ()):
                    if not (within and name) or any(fnmatchcase(name, each) for each in kept.names):
                        raise UsageError(f'{option} {path} is, or lies within, a source or destination of this run, '
                                         f'{kept.path}: choose a file elsewhere')


def side_files(receipts: str | None, layer_cache: str | None, reports: Sequence[str] = ()) -> SideFiles:
    """Return the files that options name, None for those that do not; raises UsageError if they are the same."""
    files = SideFiles()
    files.add('--receipt', receipts, within=True)
    files.add('--layer-cache', layer_cache, within=True)
    for path in reports:
        files.add('--report', path, within=True)
    return files


def kept_paths(plugins: Plugins, places: Iterable[tuple[str, str]]) -> list[KeptPath]:
    """Return the paths of images, given with their schemes, and the names in each that a writer of the scheme keeps."""
    kept = {each.name: each.keeps for _, each in plugins.declared(WriterScheme)}
    return [KeptPath(path, kept.get(scheme, ())) for scheme, path in places]


def upwards(path: str) -> Iterator[tuple[Hashable, str]]:
    """Yield the identity of a path, and of each directory above it with the name in it that leads to the path."""
    name = ''
    while True:
        yield Place(path).root, name
        above, name = os.path.split(path)
        if above == path:
            return
        path = above


def _leads_to(path: str, stream: int) -> bool:
    """Return whether a path is what a standard stream goes to, however it is written; no device but a terminal is."""
    with suppress(OSError):
        found = os.stat(path)
        is_lost = stat.S_ISCHR(found.st_mode) and not os.isatty(stream)
        return not is_lost and os.path.samestat(found, os.fstat(stream))
    return False
