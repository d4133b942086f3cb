"""The filter `owner`: changes the owners of entries, for example for unpacking without root."""
from collections.abc import Mapping, Sequence
from typing import Any

from occystrap_core.api.image_filter import EntryFilter
from occystrap_core.errors import InvalidImage, UsageError
from occystrap_core.settings import Settings
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.entry_headers import GLOBAL_PAX

_LIMIT = 1 << 32


class Owner(EntryFilter):
    """Sets user and group id of every entry, to one value or by ranges; the names are removed."""

    repeatable = True

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        self._uid, self._gid = options['uid'], options['gid']
        self._ranges = [_range(text) for text in options['map'].split(',')] if options['map'] else []
        fixed = self._uid is not None or self._gid is not None
        if fixed == bool(self._ranges):
            raise UsageError('filter owner: give uid= and gid=, or map=FROM:TO:COUNT')
        if any(number is not None and not 0 <= number < _LIMIT for number in (self._uid, self._gid)):
            raise UsageError(f'filter owner: numbers of users and groups are 0 to {_LIMIT - 1}')

    def entry(self, entry: TarEntry) -> TarEntry:
        """Return the entry with its owners set; raises InvalidImage for an owner that is in no range."""
        if entry.type != GLOBAL_PAX:
            uid = self._mapped(entry, entry.uid) if self._uid is None else self._uid
            gid = self._mapped(entry, entry.gid) if self._gid is None else self._gid
            entry.set_owner(uid, gid)
        return entry

    def _mapped(self, entry: TarEntry, number: int) -> int:
        for start, target, count in self._ranges:
            if start <= number < start + count:
                return target + number - start
        if self._ranges:
            raise InvalidImage(f'filter owner: map= has no range for {number}, the owner of {entry.name[:200]!r}')
        return number


def _range(text: str) -> Sequence[int]:
    """Return start, target and count of `FROM:TO:COUNT`, as in subuid(5) and user_namespaces(7)."""
    parts = text.split(':')
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(numbers) != 3 or len(parts) != 3 or max(numbers[0], numbers[1]) + numbers[2] > _LIMIT:
        raise UsageError(f'filter owner: map={text} is not FROM:TO:COUNT in numbers')
    return numbers
