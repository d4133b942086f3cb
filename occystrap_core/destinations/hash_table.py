"""A table of hashes by hashes, for the millions of places of a run: some 40 bytes for each, where a dict takes 120."""
from array import array

_FREE = -1
"""Python's hashes are never -1."""
_SLOTS = 1024
_FULL = 0.6
"""The part of the slots that may be used: with more of them each look takes many steps."""


class HashTable:
    """Maps values of `hash` to values of `hash`; the slot after a used one is tried next (open addressing)."""

    def __init__(self, slots: int = _SLOTS) -> None:
        """`slots` is a power of two."""
        self._keys, self._values = array('q', [_FREE]) * slots, array('q', [_FREE]) * slots
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def __contains__(self, key: int) -> bool:
        return self._keys[self._slot(key)] == key

    def get(self, key: int) -> int | None:
        """Return the value of a key; None if it has none."""
        slot = self._slot(key)
        return self._values[slot] if self._keys[slot] == key else None

    def __setitem__(self, key: int, value: int) -> None:
        slot = self._slot(key)
        if self._keys[slot] == _FREE:
            self._used += 1
        self._keys[slot], self._values[slot] = key, value
        if self._used > _FULL * len(self._keys):
            self._grow()

    def _slot(self, key: int) -> int:
        """Return the slot of a key, or the free one where it would be."""
        keys, last = self._keys, len(self._keys) - 1
        slot = key & last
        while keys[slot] != key and keys[slot] != _FREE:
            slot = slot + 1 & last
        return slot

    def _grow(self) -> None:
        larger = HashTable(2 * len(self._keys))
        for key, value in zip(self._keys, self._values):
            if key != _FREE:
                slot = larger._slot(key)
                larger._keys[slot], larger._values[slot] = key, value
        self._keys, self._values = larger._keys, larger._values
