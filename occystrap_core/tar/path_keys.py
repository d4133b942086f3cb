"""Paths as keys of sets and dictionaries: short paths themselves, digests of longer ones, so that every key is small.
"""
from collections.abc import Iterator
from hashlib import blake2b

_SHORT = 64
_SIZE = 24
COST = 112
"""Approximate bytes of a key in a set or dictionary, in addition to its length."""


def path_key(path: bytes) -> bytes:
    """Return the key of a plain path: the path itself, or for a long one a slash, with which no plain path starts, and
    a digest."""
    return path if len(path) <= _SHORT else b'/' + blake2b(path, digest_size=_SIZE).digest()


def path_keys(path: bytes) -> Iterator[bytes]:
    """Yield the keys of the directories that contain a plain path, the nearest first, the root last."""
    while path:
        path = path[:max(path.rfind(b'/'), 0)]
        yield path_key(path)
