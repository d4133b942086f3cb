"""Other files that a run writes, such as reports: none may be an image, a stream in use, or named by two options."""
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
"""The name that destinations use for private files."""


class KeptPath(NamedTuple):
    """A path that images are read from or written to, and patterns, as for fnmatch, of the names in it that are the
    format's own."""

    path: str
    names: Sequence[str] = ()


class SideFiles:
    """The other files of a run by path, each with the option that names it."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, str, bool]] = {}
        self._stdout: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self._named or self._stdout)

    def add(self, option: str, path: str | None, within: bool = False) -> None:
        """Add a file, unless `path` is a device or pipe, which has no content to lose.

        `within`: it may be in the directory of an image, if its name is not one of the format's own. Raises UsageError
        if another option names the same file, if stderr goes to the file, and if it is a private file of a destination.
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
        """Raise UsageError if a file is stdout while `taken` goes there."""
        if self._stdout:
            option, path = self._stdout
            raise UsageError(f'{option} {path} is stdout, where {taken} goes: choose a file')

    def refuse_places(self, places: Iterable[KeptPath]) -> None:
        """Raise UsageError if a file is, or is below, a path of images, or has one of the format's own names there."""
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
    """Return the files that options name, ignoring None; raises UsageError if two of them are the same."""
    files = SideFiles()
    files.add('--receipt', receipts, within=True)
    files.add('--layer-cache', layer_cache, within=True)
    for path in reports:
        files.add('--report', path, within=True)
    return files


def kept_paths(plugins: Plugins, places: Iterable[tuple[str, str]]) -> list[KeptPath]:
    """Return the paths of images, given with their schemes, each with the scheme's own names there."""
    kept = {each.name: each.keeps for _, each in plugins.declared(WriterScheme)}
    return [KeptPath(path, kept.get(scheme, ())) for scheme, path in places]


def upwards(path: str) -> Iterator[tuple[Hashable, str]]:
    """Yield the identity of a path, and of each directory above it, with the name in that directory that leads to the
    path."""
    name = ''
    while True:
        yield Place(path).root, name
        above, name = os.path.split(path)
        if above == path:
            return
        path = above


def _leads_to(path: str, stream: int) -> bool:
    """Return whether a standard stream goes to the file at a path; the only device that counts is a terminal."""
    with suppress(OSError):
        found = os.stat(path)
        is_lost = stat.S_ISCHR(found.st_mode) and not os.isatty(stream)
        return not is_lost and os.path.samestat(found, os.fstat(stream))
    return False
