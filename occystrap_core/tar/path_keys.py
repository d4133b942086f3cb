"""Paths as keys of sets and dictionaries: short ones as they are, of longer ones a digest, so that none takes much."""
from collections.abc import Iterator
from hashlib import blake2b

_SHORT = 64
_SIZE = 24
COST = 112
"""Bytes that a key takes in a set or dictionary besides its own length, about."""


def path_key(path: bytes) -> bytes:
    """Return what stands for a plain path."""
    if len(path) <= _SHORT:
        return path
    *_, key = _keys_of_long(path)
    return key


def path_keys(path: bytes) -> Iterator[bytes]:
    """Yield the keys of the folders that a plain path lies in, the root first, the nearest last."""
    if not path:
        return
    yield b''
    place = path.find(b'/')
    while 0 < place <= _SHORT:
        yield path[:place]
        place = path.find(b'/', place + 1)
    if place > 0:
        yield from _keys_of_long(path[:path.rindex(b'/')])


def _keys_of_long(path: bytes) -> Iterator[bytes]:
    """Yield the keys of those folders of a long path that are long themselves, and its own; it takes one pass.

    A digest is made of the key of the folder above and the name; that it begins with a slash tells it from any path.
    """
    short = path[:_SHORT + 1].rfind(b'/')
    key, names = (path[:short], path[short + 1:]) if short >= 0 else (b'', path)
    for name in names.split(b'/'):
        key = b'/' + blake2b(key + b'/' + name, digest_size=_SIZE).digest()
        yield key
