"""Limits on what an image may unpack to, against archives that are made to fill disks and memory."""
from occystrap_core import InvalidImage


class Budget:
    """Counts what an image takes, up to its limits."""

    def __init__(self, most_bytes: int, most_entries: int, most_names: int) -> None:
        self._most_bytes, self._most_entries, self._most_names = most_bytes, most_entries, most_names
        self._bytes = self._entries = self._names = 0

    def passed(self, count: int) -> None:
        """Count unpacked bytes; raises InvalidImage when there are too many."""
        self._bytes += count
        if self._bytes > self._most_bytes:
            raise InvalidImage(f'the image unpacks to more than {self._most_bytes} bytes: if that is intended, allow '
                               'more with ?max_unpacked=')

    def entry(self) -> None:
        """Count an entry; raises InvalidImage when there are too many."""
        self._entries += 1
        if self._entries > self._most_entries:
            raise InvalidImage(f'the image has more than {self._most_entries} entries: if that is intended, allow more '
                               'with ?max_entries=')

    def named(self, length: int) -> None:
        """Count bytes of names that are kept in memory; raises InvalidImage when there are too many."""
        self._names += length
        if self._names > self._most_names:
            raise InvalidImage(f'the names in the image take more than {self._most_names} bytes of memory: if that is '
                               'intended, allow more with ?max_names=')
