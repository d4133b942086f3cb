"""Finding where overlayfs would show separately unpacked layers wrongly, and the cover on top that corrects it.

A layer need not have entries for the directories that its files are in. Overlayfs shows the uppermost directory of a
path, with its made-up attributes; a directory that only one layer has is shown with the marks for deleted names in it;
and a directory made only for marks is shown even if no layer has it. The cover consists of directories, links and
marks.
"""
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from occystrap_core import OutputError
from occystrap_dir.extraction.attributes import Attributes, Setter
from occystrap_dir.extraction.attributes import Cover
from occystrap_dir.file_list.head import Head, raw_lines
from occystrap_dir.file_list.mtree import Line, escaped
from occystrap_dir.mounts.mount_files import tree_name
from occystrap_dir.mounts.overlay_marks import CARRIER, IMPLIED, MARKED, OPAQUE
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.root import text

_OPAQUE_MARKS = frozenset(OPAQUE)


@dataclass
class _Seen:
    """A directory in the layers stacked so far: how the image has it, and what overlayfs shows."""

    intended: Line | None
    """The line with its attributes in the image, None if the image does not have it."""
    shown: Line
    layers: set[str]
    """The layers that overlayfs merges in it."""
    marked: bool
    """Whether names in it were deleted."""
    at: int
    """The number of the uppermost layer that has it."""

    @property
    def is_wrong(self) -> bool:
        """Whether overlayfs shows something else than the image has."""
        unmerged = len(self.layers) == 1 and self.marked and bool(self.shown.path)
        return self.intended is not None and (unmerged or _attributes(self.intended) != _attributes(self.shown))


@dataclass
class Stack:
    """The layers of one image, stacked from the lowest up."""

    root: str
    _directories: dict[bytes, _Seen] = field(default_factory=dict)
    _emptied: dict[bytes, int] = field(default_factory=dict)
    """The uppermost layer that hides what lower ones have in a directory."""
    _others: dict[bytes, tuple[int, Line]] = field(default_factory=dict)
    """Paths that are not directories, with the number of the layer."""
    _covered: set[bytes] = field(default_factory=set)
    """Links that overlayfs hides by a directory made only for marks."""
    _names: Sequence[str] = ()
    """The directories of the layers."""

    def put(self, layers: Sequence[str]) -> None:
        """Stack the layers in these directories; raises OutputError if overlayfs cannot show the image, OSError."""
        self._names = layers
        heads = {directory: self._head(directory) for directory in layers}
        needed = _with_ancestors(path for head in heads.values() for word, path in head.notes)
        lines = {directory: list(self._lines(directory, needed)) for directory in heads}
        for number, directory in enumerate(layers):
            words: dict[bytes, set[bytes]] = {}
            for word, path in heads[directory].notes:
                words.setdefault(path, set()).add(word)
            for line in lines[directory]:
                self._put(number, directory, line, words.get(line.path, set()))

    def cover(self, setter: Setter) -> Cover:
        """Return the directories, links and paths to hide of the cover; none if overlayfs shows the image correctly."""
        current = {path: seen for path, seen in self._directories.items() if self._current(path)}
        surplus = {path for path, seen in current.items() if seen.intended is None}
        hidden = sorted(path for path in surplus if _above(path) not in surplus)
        links = sorted(path for path in self._covered if not self._is_hidden(path, self._others[path][0]))
        wrong = [path for path, seen in current.items() if seen.is_wrong]
        if not wrong and not hidden and not links:
            return Cover((), (), ())
        needed = _with_ancestors([*wrong, *map(_above, hidden), *map(_above, links)])
        intended = [(path, current[path].intended) for path in sorted(needed)]
        lines = [(path, self._others[path][1]) for path in links]
        return Cover([(path, _to_set(line, setter)) for path, line in intended if line],
                     [(path, line.target, _to_set(line, setter)) for path, line in lines], hidden)

    def _head(self, directory: str) -> Head:
        with open(Beneath(self.root).open(tree_name(directory)), 'rb') as file:
            return Head.read(file)

    def _lines(self, directory: str, paths: set[bytes]) -> Iterator[Line]:
        """Yield the lines of a layer's list for some paths; the root's line is the first."""
        names = {b'./' + escaped(path) if path else b'.' for path in paths}
        with open(Beneath(self.root).open(tree_name(directory)), 'rb') as file:
            Head.read(file)
            for raw in raw_lines(file):
                if raw.partition(b' ')[0] in names:
                    yield Line.parse(raw)
                if len(names) == 1:  # the root's
                    return

    def _put(self, number: int, directory: str, line: Line, words: set[bytes]) -> None:
        path, before = line.path, self._current(line.path)
        if line.kind != 'dir':
            self._put_other(number, line)
            return
        if CARRIER in words and (other := self._others.get(path)) and not self._is_hidden(path, other[0]):
            self._require_link(path, other[1])
            self._emptied[path] = number
            self._covered.add(path)
            return
        self._others.pop(path, None)
        self._covered.discard(path)
        opaque = not _OPAQUE_MARKS.isdisjoint(line.xattrs)
        if opaque:
            self._emptied[path] = number
        kept = before if before and not opaque else None
        self._directories[path] = _Seen(
            _intended(line, words, before), line, {directory, *(kept.layers if kept else ())},
            MARKED in words or bool(kept and kept.marked), number)

    def _put_other(self, number: int, line: Line) -> None:
        self._directories.pop(line.path, None)
        self._covered.discard(line.path)
        self._emptied[line.path] = number
        if line.device == (0, 0):  # a mark
            self._others.pop(line.path, None)
        else:
            self._others[line.path] = number, line

    def _require_link(self, path: bytes, line: Line) -> None:
        """Raise OutputError unless the path with this line is a dangling link, so that marks below it hide nothing."""
        first = _first_of(path, line.target) if line.kind == 'link' else b''
        if not first or any(self._has(directory, first) for directory in self._names):
            raise OutputError(f'{text(path)} is not a directory in one layer, but a higher one has whiteouts below it, '
                              'which overlayfs cannot show: write the image to oci://')

    def _has(self, directory: str, first: bytes) -> bool:
        """Return whether a layer has a name in its root."""
        name = b'./' + escaped(first)
        with open(Beneath(self.root).open(tree_name(directory)), 'rb') as file:
            Head.read(file)
            return any(raw.startswith((name + b' ', name + b'/')) for raw in raw_lines(file))

    def _current(self, path: bytes) -> _Seen | None:
        """Return the directory at a path, None if there is none so far."""
        seen = self._directories.get(path)
        return None if seen is None or self._is_hidden(path, seen.at) else seen

    def _is_hidden(self, path: bytes, at: int) -> bool:
        """Return whether a higher layer hides what layer `at` has at a path, or above it; -1 means no layer."""
        while at >= 0 and path:
            path = path.rpartition(b'/')[0]
            if self._emptied.get(path, -1) > at:
                return True
        return at < 0


def _intended(line: Line, words: set[bytes], before: _Seen | None) -> Line | None:
    """Return the line of a directory in the image, given that of the current layer."""
    if before and before.intended and (IMPLIED in words or CARRIER in words):
        return before.intended
    return None if CARRIER in words else line


def _with_ancestors(paths: Iterable[bytes]) -> set[bytes]:
    """Return paths, and those of all directories that they are in."""
    found = {b''}
    for path in paths:
        if path and path not in found:
            found.update(accumulate(path.split(b'/'), lambda above, name: above + b'/' + name))
    return found


def _above(path: bytes) -> bytes:
    return path.rpartition(b'/')[0]


def _first_of(path: bytes, target: bytes) -> bytes:
    """Return the first component of the path that a link leads to, empty for the root itself."""
    here = [] if target.startswith(b'/') else path.split(b'/')[:-1]
    for name in target.split(b'/'):
        here = here[:-1] if name == b'..' else here if name in (b'', b'.') else [*here, name]
    return here[0] if here else b''


def _attributes(line: Line) -> tuple[object, ...]:
    return line.mode, line.uid, line.gid, line.time, _without_marks(line.xattrs)


def _without_marks(xattrs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    return {name: value for name, value in xattrs.items() if name not in _OPAQUE_MARKS}


def _to_set(line: Line, setter: Setter) -> Attributes:
    uid, gid = setter.no_owner if line.uid is None or line.gid is None else (line.uid, line.gid)
    return Attributes(line.mode or 0, uid, gid, line.time or 0, _without_marks(line.xattrs))
