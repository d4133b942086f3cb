"""The expected attributes of a tree of all layers, recorded from headers and streams while it is unpacked."""
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO

from occystrap_core.files import output_errors
from occystrap_dir.workspace.root import join

_LAYERS = 1 << 16
_KNOWN = 1024
_DIRECTORY = b'type=dir'


class _Directory:
    """A directory: its children by name, and the offset of its keywords, with the number of its layer in the low bits.
    """

    __slots__ = ('place', 'names', 'whole')

    def __init__(self, place: int, whole: int) -> None:
        self.place, self.whole = place, whole
        self.names: dict[bytes, int | _Directory] = {}


class TreeRecord:
    """The keywords of each path (see mtree.py), in an unnamed file; memory only holds the names, each once.

    `whole` of a directory is the layer that contains everything below it: its whiteouts remove nothing there.
    """

    def __init__(self, directory: str, named: Callable[[int], None] = lambda length: None) -> None:
        """`directory` is for the file, which goes with this object or the process. Raises OutputError.

        `named` is called with the length of each name that is kept in memory.
        """
        import tempfile
        with output_errors(directory):
            self._file: BinaryIO = tempfile.TemporaryFile(dir=directory)
        self._end, self._named = 0, named
        self._root: _Directory | None = None
        self._known: dict[bytes, _Directory] = {}
        """Directories by path, some of them."""
        self._linked: set[int] = set()

    def put(self, path: bytes, layer: int, keywords: bytes) -> None:
        """Set the keywords of a path."""
        place = self._end * _LAYERS + layer
        self._end += self._file.write(keywords + b'\n')
        if keywords.startswith(_DIRECTORY):
            self._put_directory(path, place, layer)
        else:
            self._put(path, place)

    def link(self, path: bytes, layer: int, target: bytes) -> None:
        """Make a path a hard link to the file at `target`."""
        place = self._place(target)
        assert place is not None
        self._put(path, place - place % _LAYERS + layer)
        self._linked.add(place // _LAYERS)

    def drop(self, path: bytes) -> None:
        """Forget a path and all below it."""
        above, _, name = path.rpartition(b'/')
        directory = self._directory(above)
        if directory and isinstance(directory.names.pop(name, None), _Directory):
            self._known.clear()

    def layer(self, path: bytes) -> int | None:
        """Return the number of the layer that brought a path, None if it does not exist."""
        place = self._place(path)
        return None if place is None else place % _LAYERS

    def is_directory(self, path: bytes) -> bool:
        """Return whether a path is a directory."""
        return self._directory(path) is not None

    def keywords(self, path: bytes) -> bytes:
        """Return the keywords of a path."""
        place = self._place(path)
        assert place is not None
        self._file.flush()
        return self._read(place // _LAYERS)

    def is_whole(self, path: bytes, layer: int) -> bool:
        """Return whether one layer brought all that is below a directory."""
        directory = self._directory(path)
        return directory is not None and directory.whole == layer

    def set_whole(self, path: bytes, layer: int) -> None:
        """Record that one layer brought all that is below a directory."""
        if directory := self._directory(path):
            directory.whole = layer

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each path with its keywords, directory by directory: sorted children, then what is below them."""
        self._file.flush()
        assert self._root
        names = self._counted() if self._linked else Counter[int]()
        yield b'', self._read(self._root.place // _LAYERS)
        levels = [(b'', self._root, below := list[bytes]())]
        yield from self._in(b'', self._root, names, below)
        while levels:
            path, directory, left = levels[-1]
            if not left:
                levels.pop()
                continue
            name = left.pop()
            child, path = directory.names[name], join(path, name)
            assert isinstance(child, _Directory)
            levels.append((path, child, below := []))
            yield from self._in(path, child, names, below)

    def _in(self, path: bytes, directory: _Directory, counts: Counter[int], below: list[bytes],
            ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the children of a directory; the names of those that have children go to `below`, the first last."""
        for name in sorted(directory.names):
            child = directory.names[name]
            yield join(path, name), self._final_keywords(child, counts)
            if isinstance(child, _Directory) and child.names:
                below.append(name)
        below.reverse()

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()

    def _put(self, path: bytes, place: int) -> None:
        above, _, name = path.rpartition(b'/')
        directory = self._known.get(above) or self._directory(above)
        assert directory is not None
        if name not in directory.names:
            self._named(len(name))
        elif isinstance(directory.names[name], _Directory):
            self._known.clear()
        directory.names[name] = place

    def _put_directory(self, path: bytes, place: int, layer: int) -> None:
        if known := self._directory(path):
            known.place = place
            return
        if path:
            self._put(path, place)
            above, _, name = path.rpartition(b'/')
            directory = self._directory(above)
            assert directory is not None
            directory.names[name] = _Directory(place, layer)
        else:
            self._root = _Directory(place, layer)

    def _place(self, path: bytes) -> int | None:
        if not path:
            return self._root.place if self._root else None
        above, _, name = path.rpartition(b'/')
        directory = self._directory(above)
        child = directory.names.get(name) if directory else None
        return child.place if isinstance(child, _Directory) else child

    def _directory(self, path: bytes) -> _Directory | None:
        if not path:
            return self._root
        if known := self._known.get(path):
            return known
        found: int | _Directory | None = self._root
        for name in path.split(b'/'):
            found = found.names.get(name) if isinstance(found, _Directory) else None
        if not isinstance(found, _Directory):
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[path] = found
        return found

    def _counted(self) -> Counter[int]:
        """Return the number of links to each file that has several."""
        counts, pending = Counter[int](), [self._root]
        while directory := pending.pop() if pending else None:
            for child in directory.names.values():
                if isinstance(child, _Directory):
                    pending.append(child)
                elif child // _LAYERS in self._linked:
                    counts[child // _LAYERS] += 1
        return counts

    def _final_keywords(self, child: 'int | _Directory', names: Counter[int]) -> bytes:
        place = (child.place if isinstance(child, _Directory) else child) // _LAYERS
        if names[place] > 1:
            return self._read(place) + b' nlink=%d inode=%d' % (names[place], place)
        return self._read(place)

    def _read(self, place: int) -> bytes:
        data = os.pread(self._file.fileno(), 512, place)
        while (end := data.find(b'\n')) < 0:
            data += os.pread(self._file.fileno(), 65536, place + len(data))
        return data[:end]
