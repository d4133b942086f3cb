"""Paths as keys of sets and dictionaries: short ones as they are, of longer ones a digest, so that none takes much."""
from collections.abc import Iterator
from hashlib import blake2b

_SHORT = 64
_SIZE = 24
COST = 112
"""Bytes that a key takes in a set or dictionary besides its own length, about."""


def path_key(path: bytes) -> bytes:
    """Return what stands for a plain path; of a long one a digest, which a slash at its beginning tells from any path.
    """
    return path if len(path) <= _SHORT else b'/' + blake2b(path, digest_size=_SIZE).digest()


def path_keys(path: bytes) -> Iterator[bytes]:
    """Yield the keys of the directories that a plain path lies in, the nearest first, the root last."""
    while path:
        path = path[:max(path.rfind(b'/'), 0)]
        yield path_key(path)
