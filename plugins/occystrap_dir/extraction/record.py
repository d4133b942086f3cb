"""What a tree must be like when all layers are in it: written down while it is unpacked, from headers and streams."""
import os
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from occystrap_core import writing

_LAYERS = 1 << 16


class TreeRecord:
    """The keywords of each path (see mtree.py), in an unnamed file; memory holds the paths alone."""

    def __init__(self, folder: str) -> None:
        """`folder` is for the file, gone with this object or the process. Raises OutputError."""
        import tempfile
        with writing(folder):
            self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)
        self._end = 0
        self._places: dict[bytes, int] = {}
        """By the key of each path: where its keywords are, and, in the lower bits, which layer brought it."""
        self._linked: set[int] = set()

    def put(self, path: bytes, layer: int, keywords: bytes) -> None:
        """Say what is at a path from now on."""
        self._places[_key(path)] = self._end * _LAYERS + layer
        self._end += self._file.write(b'%s\n' % keywords)

    def link(self, path: bytes, layer: int, target: bytes) -> None:
        """Say that a path is one more name of the file that `target` is."""
        place = self._places[_key(target)] // _LAYERS
        self._places[_key(path)] = place * _LAYERS + layer
        self._linked.add(place)

    def drop(self, path: bytes) -> None:
        """Say that nothing is there any more."""
        self._places.pop(_key(path), None)

    def layer(self, path: bytes) -> int | None:
        """Return which layer brought a path, None if there is nothing."""
        place = self._places.get(_key(path))
        return None if place is None else place % _LAYERS

    def keywords(self, path: bytes) -> bytes:
        """Return what a path is."""
        self._file.flush()
        return self._read(self._places[_key(path)] // _LAYERS)

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each path with its keywords, folder by folder, what is in one in order of names."""
        self._file.flush()
        places = (place // _LAYERS for place in self._places.values()) if self._linked else ()
        names = Counter(place for place in places if place in self._linked)
        for key in sorted(self._places):
            place = self._places[key] // _LAYERS
            keywords = self._read(place)
            if place in self._linked:
                keywords += b' nlink=%d inode=%d' % (names[place], place)
            yield _path(key), keywords

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _read(self, place: int) -> bytes:
        data = os.pread(self._file.fileno(), 512, place)
        while (end := data.find(b'\n')) < 0:
            data += os.pread(self._file.fileno(), 65536, place + len(data))
        return data[:end]


def _key(path: bytes) -> bytes:
    """Return what is sorted as folder and name are; to keep pairs of them for sorting would double the memory."""
    folder, _, name = path.rpartition(b'/')
    return folder + b'\0' + name


def _path(key: bytes) -> bytes:
    folder, _, name = key.rpartition(b'\0')
    return folder + b'/' + name if folder else name
