"""The entry points of the installed distributions, read from the files that hold them.

The standard library's own way reads them as well, but imports parsers of mail and of zip files, and makes an object of
every entry point of every distribution: that took a fifth of the time of `--help`. Here only those of one group are
made. https://packaging.python.org/en/latest/specifications/entry-points/ is the format.
"""
import os
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FILE = 'entry_points.txt'
_INFORMATION = ('.dist-info', '.egg-info')


class EntryPoint(NamedTuple):
    """An entry point of a distribution, as importlib.metadata has it; `directory` is the distribution's metadata."""

    name: str
    value: str
    directory: str

    @property
    def dist(self) -> 'Distribution':
        """The distribution; reading its name and version takes milliseconds."""
        from importlib.metadata import Distribution
        return Distribution.at(self.directory)

    def load(self) -> Any:
        """Return the module, or what `module:name` says of it; raises whatever importing it raises."""
        module, _, attributes = self.value.partition('[')[0].partition(':')
        return reduce(getattr, filter(None, attributes.strip().split('.')), import_module(module.strip()))


def installed_entry_points(group: str) -> list[Any]:
    """Return the entry points of a group, of each distribution those of the first place on the path."""
    if any(map(_is_foreign, sys.meta_path)):
        return _by_library(group)
    found: dict[str, list[EntryPoint]] = {}
    for place in dict.fromkeys(sys.path):
        try:
            with os.scandir(place or '.') as entries:
                names = sorted(each.name for each in entries if each.name.endswith(_INFORMATION))
        except NotADirectoryError:  # such as a zip file
            return _by_library(group)
        except OSError:
            continue
        for name in names:
            key = _distribution(name)
            if key not in found:
                found[key] = list(_read(os.path.join(place, name), group))
    return [each for of_one in found.values() for each in of_one]


def _is_foreign(finder: object) -> bool:
    """Return whether a finder may know distributions that are in no directory of the path."""
    return finder is not PathFinder and hasattr(finder, 'find_distributions')


def _by_library(group: str) -> list[Any]:
    from importlib.metadata import entry_points
    return list(entry_points(group=group))


def _distribution(directory: str) -> str:
    """Return the distribution's name, the same for all its spellings."""
    name = directory.rpartition('.')[0].partition('-')[0]
    return name.lower().replace('-', '_').replace('.', '_')


def _read(directory: str, group: str) -> Iterator[EntryPoint]:
    try:
        with open(os.path.join(directory, _FILE), 'rb', buffering=0) as file:
            content = file.read()
    except OSError:  # most distributions have none
        return
    if group.encode() not in content:
        return
    section = ''
    for line in map(str.strip, content.decode(errors='replace').splitlines()):
        if line.startswith('[') and line.endswith(']'):
            section = line[1:-1].strip()
        elif section == group and '=' in line and not line.startswith('#'):
            name, _, value = line.partition('=')
            yield EntryPoint(name.strip(), value.strip(), directory)
