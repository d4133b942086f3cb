"""The filters `exclude` and `allow`: entries are left out or kept by their paths."""
from collections.abc import Mapping
from typing import Any

from occystrap_core.api.image_filter import EntryFilter
from occystrap_core.errors import UsageError
from occystrap_core.settings import Settings
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import DIRECTORY, GLOBAL_PAX
from occystrap_core.tar.globs import Globs, plain_path
from occystrap_core.tar.whiteouts import is_whiteout


def given_patterns(name: str, options: Mapping[str, Any]) -> list[str]:
    """Return the patterns given to a filter, separated by commas; raises UsageError if there are none."""
    patterns = [pattern for pattern in (options['pattern'] or '').split(',') if pattern]
    if not patterns:
        raise UsageError(f'filter {name}: no pattern: add one, such as {name}:pattern=*.pyc,/var/cache')
    return patterns


def is_untouchable(entry: TarEntry) -> bool:
    """Return whether an entry must stay: global headers, and whiteouts, without which deleted files would reappear."""
    return entry.type == GLOBAL_PAX or is_whiteout(plain_path(entry.name))


def path_of(entry: TarEntry) -> tuple[bytes, bool]:
    """Return the plain path of an entry, and whether it is a directory."""
    return plain_path(entry.name), entry.type == DIRECTORY


class Exclude(EntryFilter):
    """Leaves out every entry that matches one of the patterns, except whiteouts."""

    repeatable = True

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        self._globs = Globs(given_patterns('exclude', options))

    def entry(self, entry: TarEntry) -> TarEntry | None:
        """Return the entry; None if it matches."""
        return None if self._globs.match(*path_of(entry)) and not is_untouchable(entry) else entry


class Allow(EntryFilter):
    """Keeps every entry that matches one of the patterns, the directories that may lead to one, and whiteouts."""

    repeatable = True

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        patterns = given_patterns('allow', options)
        self._globs = Globs(patterns)
        self._leading = [names for pattern in patterns if (names := _names(pattern))]
        self._anywhere = len(self._leading) < len(patterns)

    def entry(self, entry: TarEntry) -> TarEntry | None:
        """Return the entry if it matches, leads to a match, or must stay; else None."""
        path, is_directory = path_of(entry)
        stays = self._globs.match(path, is_directory) or is_untouchable(entry) or (is_directory and self._leads(path))
        return entry if stays else None

    def _leads(self, path: bytes) -> bool:
        """Return whether something below a directory may match: layers list directories before their content."""
        parts = path.split(b'/') if path else []
        return self._anywhere or any(_begins(names, parts) for names in self._leading)


def _names(pattern: str) -> list[str]:
    """Return the names of a pattern that is anchored at the root, except the last; empty if it is not anchored."""
    text = pattern.rstrip('/')
    return ['', *text.lstrip('/').split('/')[:-1]] if '/' in text else []


def _begins(names: list[str], parts: list[bytes]) -> bool:
    for name, part in zip(names[1:], parts, strict=False):
        if name == '**':
            return True
        if not Globs([f'/{name}']).match(part):
            return False
    return len(parts) < len(names)
